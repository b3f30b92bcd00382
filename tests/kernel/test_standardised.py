from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel.errors import NumericalError
from kernel.standardised import Standardised, measured, parted

MEAN, STD = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 4.0])


class Skewed(nn.Module):
    """Two channels of other means and spreads; the audio is the latent of neither."""

    def __init__(self, spread: float | None = None, gain: float = 1.0) -> None:
        super().__init__()
        self.spread, self.gain = spread, gain

    def encode(self, audio: Tensor) -> Any:
        mean = self.gain * (audio.expand(-1, 2, -1) * STD[:, None] + MEAN[:, None])
        return mean if self.spread is None else (mean, torch.full_like(mean, self.spread))

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        return (latent[:, :1] - MEAN[0]) / STD[0]


def sounds(seed: int = 0) -> list[Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(1, 1, length, generator=draws) for length in (20000, 30000)]


@pytest.mark.parametrize("spread", [None, 2.0])
def test_what_may_be_drawn_has_zero_mean_and_unit_variance(spread: float | None) -> None:
    codec = Skewed(spread)
    whole = Standardised(codec, *measured(codec, sounds()))
    mean, std = parted(whole.encode(sounds(1)[1]))
    drawn = mean if std is None else mean + std * torch.randn(mean.shape)
    torch.testing.assert_close(drawn.mean((0, 2)), torch.zeros(2), rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.std((0, 2)), torch.ones(2), rtol=0, atol=0.03)


def test_a_standardised_latent_is_decoded_as_the_codec_does() -> None:
    (sound, _) = sounds()
    whole = Standardised(Skewed(), (1.0, -2.0), (0.5, 4.0))
    torch.testing.assert_close(parted(whole.encode(sound))[0], sound.expand(1, 2, -1))
    torch.testing.assert_close(whole.decode(sound.expand(1, 2, -1), 20000), sound)


def test_a_channel_that_never_changes_is_left_at_its_scale() -> None:
    mean, std = measured(Skewed(), [torch.zeros(1, 1, 100)])
    assert mean == (1.0, -2.0) and std == (1.0, 1.0)


def test_latents_that_are_not_finite_are_refused() -> None:
    with pytest.raises(NumericalError, match="latents of the training data are not finite"):
        measured(Skewed(gain=float("inf")), sounds())

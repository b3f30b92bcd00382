"""What `waveform` promises beyond what every codec does."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kernel import AudioSpec, LatentSpec
from kernel_plugins.codecs.waveform import Waveform

STEREO = AudioSpec(8000, 2)


def ramp(samples: int) -> torch.Tensor:
    return torch.arange(1.0, 2 * samples + 1).view(1, 2, samples) / 64


def test_latent_is_the_sound_divided_by_std() -> None:
    net: Any = Waveform(std=0.25).build(STEREO)
    assert torch.equal(net.encode(ramp(100)), ramp(100) * 4)


def test_std_without_data_is_a_tenth() -> None:
    net: Any = Waveform().build(STEREO)
    torch.testing.assert_close(net.encode(ramp(100)), ramp(100) * 10)


def test_fit_takes_the_root_mean_square() -> None:
    examples = [torch.tensor([[1.0, -1.0], [1.0, -1.0]]), torch.tensor([[2.0], [-2.0]])]
    assert Waveform().fit(STEREO, examples).std == pytest.approx((12 / 6) ** 0.5)


def test_frames_hold_overlapping_samples_in_order() -> None:
    net: Any = Waveform(fold=4, std=1).build(STEREO)
    audio = ramp(10)
    frames = net.encode(audio).view(1, 2, 8, 4)
    padded = torch.nn.functional.pad(audio, (4, 6))
    for t in range(4):
        assert torch.equal(frames[..., t], padded[..., 4 * t : 4 * t + 8])


def test_folded_latent_has_the_published_shape() -> None:
    assert Waveform(fold=16).latent(STEREO, 2**19) == LatentSpec(64, (32769,))


def test_a_frame_fades_with_a_periodic_hamming_window() -> None:
    net: Any = Waveform(fold=16, std=1).build(AudioSpec(8000))
    latent = torch.zeros(1, 32, 5)
    latent[:, :, 2] = 1
    decoded = net.decode(latent, 64)[0, 0]
    torch.testing.assert_close(decoded[16:48], torch.hamming_window(32) / 1.08)
    assert decoded[:16].abs().max() == decoded[48:].abs().max() == 0


@pytest.mark.parametrize("fold", [1, 5, 16])
@pytest.mark.parametrize("samples", [1, 4, 5, 16, 33, 1000])
def test_folding_and_back_is_exact(fold: int, samples: int) -> None:
    net: Any = Waveform(fold=fold, std=0.25).build(STEREO)
    assert torch.equal(net.decode(net.encode(ramp(samples)), samples), ramp(samples))

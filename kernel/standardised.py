"""The modules of trained codecs: means, spreads, and the scale that everybody is handed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kernel.errors import NumericalError

if TYPE_CHECKING:
    from kernel.kinds.codec import CodecModule

__all__ = ["Standardised", "measured", "parted"]


def parted(encoded: Tensor | tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | None]:
    """Return the mean and the standard deviation of what a codec encoded; None for no spread."""
    return encoded if isinstance(encoded, tuple) else (encoded, None)


class Standardised(nn.Module):
    """A codec whose latents are brought to zero mean and unit variance, channel by channel.

    mean, std: [C], those of the latents of `codec`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, codec: CodecModule, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.codec = codec
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def encode(self, audio: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the standardised latent, or its mean and standard deviation."""
        centre, spread = parted(self.codec.encode(audio))
        mean, std = self._constants(centre)
        found = (centre - mean) / std
        return found if spread is None else (found, spread / std)

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return the sound of a standardised latent."""
        mean, std = self._constants(latent)
        return self.codec.decode(latent * std + mean, samples)

    def _constants(self, latent: Tensor) -> list[Tensor]:
        return [each.view(-1, *[1] * (latent.ndim - 2)) for each in (self.mean, self.std)]


@torch.no_grad()
def measured(
    codec: CodecModule, sounds: Iterable[Tensor]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of the latents that may be drawn.

    sounds: audio [1, C, L]. The variance is that of the means plus the mean of the variances; a
    channel that never changes has the standard deviation 1. Raises NumericalError for latents that
    are not finite.
    """
    sums = torch.zeros(3, 1)
    for sound in sounds:
        centre, spread = parted(codec.encode(sound))
        mean, std = (
            each.double().transpose(0, 1).flatten(1).cpu()
            for each in (centre, torch.zeros_like(centre) if spread is None else spread)
        )
        parts = (torch.ones_like(mean), mean, mean.square() + std.square())
        sums = sums + torch.stack([each.sum(1) for each in parts])
    count, mean, power = sums
    mean, power = mean / count, power / count
    variance = (power - mean.square()).clamp(min=0)
    if not bool((mean + variance).isfinite().all()):
        raise NumericalError(
            "the trained codec's latents of the training data are not finite; train it with a "
            "lower learning_rate"
        )
    std = torch.where(variance > 1e-12, variance.sqrt(), torch.ones_like(variance))
    return tuple(mean.tolist()), tuple(std.tolist())

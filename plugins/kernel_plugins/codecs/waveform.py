"""`waveform`: the samples themselves, scaled to unit variance."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field

from kernel import AudioSpec, Codec, LatentSpec, hookimpl
from kernel_plugins.codecs._frames import moments

if TYPE_CHECKING:
    from torch import Tensor, nn


class Waveform(Codec):
    """Samples divided by `std`, or overlapping frames of them as channels of a shorter latent.

    With `fold` = h, frame t holds the 2 h samples from (t - 1) h on: a latent has 2 C h channels
    and ceil(L / h) + 1 frames. Every sample lies in two frames; decoding cross-fades them with a
    periodic Hamming window. Noise in the latent is therefore not the fold of noise in the sound.
    """

    fold: int = Field(
        0, ge=0, description="hop in samples of frames twice as long, such as 16; 0: no frames"
    )
    std: float | None = Field(
        None,
        gt=0,
        description="standard deviation of a sample; none: fitted to the data, 0.1 without data",
    )

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return (C; samples), or (2 C fold; ceil(samples / fold) + 1)."""
        if not self.fold:
            return LatentSpec(audio.channels, (samples,))
        return LatentSpec(2 * audio.channels * self.fold, (-(-samples // self.fold) + 1,))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return the CodecModule."""
        from kernel_plugins.codecs._waveform import FoldModule, ScaleModule

        std = 0.1 if self.std is None else self.std
        return FoldModule(audio.channels, self.fold, std) if self.fold else ScaleModule(std)

    def fit(self, audio: AudioSpec, examples: Iterable[Tensor]) -> Self:
        """Return the codec with `std` about zero from the examples, unless it is set."""
        if self.std is not None:
            return self
        raw: Any = self.model_copy(update={"std": 1.0}).build(audio)
        _, power = moments("waveform", raw, examples)
        return self.model_copy(update={"std": math.sqrt(power)})


@hookimpl
def codec() -> type[Codec]:
    """Offer `waveform`."""
    return Waveform

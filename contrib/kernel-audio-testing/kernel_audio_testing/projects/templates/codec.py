"""`mine`: how audio becomes a latent, and audio again."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from pydantic import Field

from kernel import AudioSpec, Codec, InputError, LatentSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn


class Mine(Codec):
    """Frames of the waveform, divided by `std`: frame t holds the samples from t * frame on.

    To make it your own, replace `encode` and `decode` in `frames.py`, and here the shape that they
    lead to. Latents have zero mean and unit variance, which is what `fit` is for, and their last
    axis is time.
    """

    frame: int = Field(16, ge=1, description="samples in a frame, the channels of the latent")
    std: float | None = Field(
        None, gt=0, description="standard deviation of a sample; none: that of the data, else 0.1"
    )

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return (C * frame; ceil(samples / frame))."""
        return LatentSpec(audio.channels * self.frame, (-(-samples // self.frame),))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return the CodecModule."""
        from kernel_audio_testing.projects.templates.frames import MineFrames

        return MineFrames(audio.channels, self.frame, self.std or 0.1)

    def fit(self, audio: AudioSpec, examples: Iterable[Tensor]) -> Self:
        """Return the codec with `std` that of the examples, unless it is set already.

        Raises InputError when they are silent, not finite, or none at all.
        """
        if self.std is not None:
            return self
        count, power = 0, 0.0
        for example in examples:
            count += example.numel()
            power += float(example.double().square().sum())
        std = math.sqrt(power / max(count, 1))
        if not 0 < std < math.inf:
            raise InputError(
                "codec 'mine' finds no finite sound in the training data to fit its level to; "
                "check the data, or set codec.std"
            )
        return self.model_copy(update={"std": std})


@hookimpl
def codec() -> type[Codec]:
    """Offer `mine`."""
    return Mine

"""A codec that takes the options of the shipped one of the same name, and more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import AudioSpec, Codec, LatentSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Waveform(Codec):
    """Audio as it is, over a standard deviation."""

    changeable: ClassVar[tuple[str, ...]] = ("gain",)

    fold: int = Field(0, description="frames, for the sake of the shipped codec's models")
    std: float = Field(0.1, description="standard deviation")
    gain: float = Field(1.0, description="what sounds are multiplied with")
    weights: Path | None = Field(None, description="a file")

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return a latent of one value a sample."""
        return LatentSpec(audio.channels, (samples,))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return a CodecModule."""
        from .scaled import Scaled

        return Scaled(self.std, self.gain)


@hookimpl
def codec() -> type[Codec]:
    """Offer the codec."""
    return Waveform

"""A convolutional variational autoencoder, whose weights a recipe trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import AudioSpec, Codec, LatentSpec, TrainedCodec, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Variational(TrainedCodec):
    """Two convolutions there and two back, with a normal distribution in between."""

    channels: int = Field(4, ge=1, description="channels of the latent")
    width: int = Field(16, ge=1, description="channels within")

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return (channels; a frame for 8 samples)."""
        return LatentSpec(self.channels, (-(-samples // 8),))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return the CodecModule."""
        from .network import Autoencoder

        return Autoencoder(audio.channels, self.width, self.channels)


@hookimpl
def codec() -> type[Codec]:
    """Offer the autoencoder."""
    return Variational

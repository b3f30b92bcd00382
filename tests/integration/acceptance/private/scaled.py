"""The module of the private codec, which imports torch."""

from __future__ import annotations

from torch import Tensor, nn


class Scaled(nn.Module):
    """Divides by a standard deviation."""

    def __init__(self, std: float, gain: float) -> None:
        super().__init__()
        self.std, self.gain = std, gain

    def encode(self, audio: Tensor) -> Tensor:
        """Return the latent of audio, both [B, C, L]."""
        return audio / self.std

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return audio of so many samples."""
        return latent[..., :samples] * self.std * self.gain

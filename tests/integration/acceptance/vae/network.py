"""The module of the autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, softplus


class Autoencoder(nn.Module):
    """A CodecModule: 8 samples to a frame."""

    def __init__(self, channels: int, width: int, latent: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, width, 8, 4, padding=2)
        self.second = nn.Conv1d(width, 2 * latent, 4, 2, padding=1)
        self.third = nn.ConvTranspose1d(latent, width, 4, 2, padding=1)
        self.fourth = nn.ConvTranspose1d(width, channels, 8, 4, padding=2)

    def encode(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the latent, [B, C, T]. audio: [B, channels, L]."""
        whole = pad(audio, (0, -audio.shape[-1] % 8))
        mean, spread = self.second(torch.tanh(self.first(whole))).chunk(2, 1)
        return mean, softplus(spread) + 1e-4

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return the audio [B, channels, samples] of a latent."""
        sound: Tensor = self.fourth(torch.tanh(self.third(latent)))
        return sound[..., :samples]

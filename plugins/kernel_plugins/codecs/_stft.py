"""The module of the codec `stft`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kernel_plugins.codecs._spectrum import analyse, synthesise

_LINEAR = 1e-6
"""Magnitude below which the compression is linear."""


class StftModule(nn.Module):
    """Compressed complex spectra and back."""

    window: Tensor

    def __init__(
        self, *, channels: int, n_fft: int, hop: int, exponent: float, std: float, image: bool
    ) -> None:
        super().__init__()
        self.channels, self.bins, self.hop = channels, n_fft // 2 + 1, hop
        self.exponent, self.std, self.image = exponent, std, image
        hann = torch.hann_window(n_fft)
        self.register_buffer("window", hann / hann.norm(), persistent=False)

    def encode(self, audio: Tensor) -> Tensor:
        """Return [B, 2 C, F, T] or [B, 2 C F, T]. audio: [B, C, L]."""
        spectrum = analyse(audio.flatten(0, 1), self.window, self.hop)
        parts = torch.view_as_real(spectrum).movedim(-1, 1)
        latent = _power(parts, self.exponent, _LINEAR) / self.std
        batch, frames = len(audio), latent.shape[-1]
        if self.image:
            return latent.reshape(batch, 2 * self.channels, self.bins, frames)
        return latent.reshape(batch, 2 * self.channels * self.bins, frames)

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return [B, C, samples]. latent: as from `encode` of at least `samples` samples."""
        parts = latent.reshape(-1, 2, self.bins, latent.shape[-1]) * self.std
        parts = _power(parts, 1 / self.exponent, _LINEAR**self.exponent)
        spectrum = torch.complex(parts[:, 0], parts[:, 1])
        audio = synthesise(spectrum, self.window, self.hop, samples)
        return audio.view(-1, self.channels, samples)


def _power(parts: Tensor, exponent: float, linear: float) -> Tensor:
    """Return `parts` [N, 2, F, T] with the magnitude to the power `exponent` and the same angle.

    Below the magnitude `linear` the map is linear.
    """
    square = parts.square().sum(1, keepdim=True).clamp(min=linear**2)
    return parts * square ** ((exponent - 1) / 2)

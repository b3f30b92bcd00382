"""The network of `mine`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FLOOR = 1e-10
"""Power that silence is taken to have."""


class MineEar(nn.Module):
    """Measures the level and the brightness of sounds."""

    def __init__(self, split: float) -> None:
        super().__init__()
        self._split = split

    def forward(self, audio: Tensor, sample_rate: int) -> Tensor:
        """Return [B, 2]. audio: [B, C, L] of any length."""
        spectrum = torch.fft.rfft(audio.mean(1))
        power = spectrum.real.square() + spectrum.imag.square()
        frequencies = torch.fft.rfftfreq(audio.shape[-1], 1 / sample_rate, device=audio.device)
        high = power[:, frequencies > self._split].sum(1)
        level = (audio.square().mean((1, 2)) + FLOOR).log10()
        return torch.stack([level, high / (power.sum(1) + FLOOR)], 1)

"""The log-mel spectrum of `timbre`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

FRAME = 0.032
LOWEST = 40.0
FLOOR = 1e-6
"""Share of a sound's mean power that is added to the power of every band."""

SILENCE = 1e-10
"""Power below which a sound counts as silence."""


class LogMel(nn.Module):
    """The mean and the standard deviation over time, (audio [B, C, L], sample_rate) -> [B, 2 M]."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self._bands = bands
        self._banks: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}

    def forward(self, audio: Tensor, sample_rate: int) -> Tensor:
        """Return [B, 2 bands]. audio: [B, C, L] of any length."""
        size = max(16, 2 * round(FRAME * sample_rate / 2))
        mono = audio.mean(1)
        window = torch.hann_window(size, dtype=audio.dtype, device=audio.device)
        spectrum = torch.stft(
            mono,
            2 * size,
            size // 4,
            size,
            window,
            pad_mode="constant",
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        bands = self._bank(sample_rate, 2 * size, audio) @ power
        mean = bands.mean((1, 2), keepdim=True) + SILENCE
        level = (bands / mean + FLOOR).log10()
        return torch.cat([level.mean(2), _deviation(level)], 1)

    def _bank(self, sample_rate: int, n_fft: int, like: Tensor) -> Tensor:
        key = (sample_rate, like.device, like.dtype)
        if key not in self._banks:
            nyquist = sample_rate / 2
            bank = melscale_fbanks(n_fft // 2 + 1, LOWEST, nyquist, self._bands, sample_rate)
            self._banks[key] = bank.T.type_as(like)
        return self._banks[key]


def _deviation(level: Tensor) -> Tensor:
    """Return the standard deviation over time; its gradient is finite for constants."""
    spread = level - level.mean(2, keepdim=True)
    return (spread.square().mean(2) + 1e-8).sqrt()

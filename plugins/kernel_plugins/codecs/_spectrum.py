"""The short-time Fourier transform of the codecs, and its inverse.

Frame t is centred in the middle of its own hop of samples, at t hop + hop / 2. So ceil(L / hop)
frames cover a sound, and its first and last samples lie well inside a window.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import fold, pad

from kernel_plugins.codecs._frames import frame_count


def analyse(audio: Tensor, window: Tensor, hop: int) -> Tensor:
    """Return the spectrum [N, F, T]. audio: [N, L], silent before and after; window: [n_fft].

    T = ceil(L / hop), F = n_fft // 2 + 1.
    """
    n_fft, frames = len(window), frame_count(audio.shape[-1], hop)
    left = n_fft // 2 - hop // 2
    right = (frames - 1) * hop + n_fft - left - audio.shape[-1]
    return torch.stft(
        pad(audio, (left, right)), n_fft, hop, window=window, center=False, return_complex=True
    )


def synthesise(spectrum: Tensor, window: Tensor, hop: int, samples: int) -> Tensor:
    """Return the sound [N, samples], samples <= T hop, whose spectrum is nearest to `spectrum`.

    Least squares (Griffin and Lim 1984, eq. 6): the exact inverse of `analyse`.
    """
    n_fft, frames = len(window), spectrum.shape[-1]
    left = n_fft // 2 - hop // 2
    length = (frames - 1) * hop + n_fft

    def overlap(pieces: Tensor) -> Tensor:
        sound = fold(pieces, (1, length), (1, n_fft), stride=(1, hop))
        return sound[:, 0, 0, left : left + samples]

    pieces = torch.fft.irfft(spectrum, n_fft, dim=1) * window[:, None]
    weight = overlap(window.square()[None, :, None].expand(1, n_fft, frames))
    return overlap(pieces) / weight

"""The module of the codec `mel`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torchaudio.functional import griffinlim, melscale_fbanks

from kernel_plugins.codecs._spectrum import analyse, synthesise

_DB = 20 / math.log(10)
_LOUDEST = 60.0
"""Highest level in dB of a decoded band: no latent makes an infinite sound."""


class MelModule(nn.Module):
    """Log-mel spectrograms and back; `floor` is an amplitude, `mean` and `std` are in dB."""

    window: Tensor
    bank: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        channels: int,
        bands: int,
        n_fft: int,
        window: int,
        hop: int,
        f_min: float,
        f_max: float,
        floor: float,
        image: bool,
        mean: float,
        std: float,
        inversion_iters: int,
        griffin_lim_iters: int,
        momentum: float,
    ) -> None:
        super().__init__()
        self.channels, self.bands, self.n_fft, self.hop = channels, bands, n_fft, hop
        self.floor, self.image, self.mean, self.std = floor, image, mean, std
        self.inversion_iters, self.griffin_lim_iters = inversion_iters, griffin_lim_iters
        self.momentum = momentum
        bank = melscale_fbanks(n_fft // 2 + 1, f_min, f_max, bands, sample_rate)
        hann = pad(torch.hann_window(window), ((n_fft - window) // 2, (n_fft - window + 1) // 2))
        # Scale: a full-scale sine has a short-time Fourier magnitude of 1.
        self.register_buffer("window", hann * (2 / hann.sum()), persistent=False)
        self.register_buffer("bank", bank / bank.sum(0), persistent=False)

    def encode(self, audio: Tensor) -> Tensor:
        """Return [B, C bands, T] or [B, C, bands, T]. audio: [B, C, L]."""
        magnitudes = analyse(audio.flatten(0, 1), self.window, self.hop).abs()
        amplitudes = self.bank.T @ magnitudes
        levels = (amplitudes + self.floor).log() * _DB
        latent = (levels - self.mean) / self.std
        batch, frames = len(audio), latent.shape[-1]
        if self.image:
            return latent.reshape(batch, self.channels, self.bands, frames)
        return latent.reshape(batch, self.channels * self.bands, frames)

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return [B, C, samples]. latent: as from `encode` of at least `samples` samples."""
        levels = latent.reshape(-1, self.bands, latent.shape[-1]) * self.std + self.mean
        amplitudes = (levels.clamp(max=_LOUDEST) / _DB).exp() - self.floor
        magnitudes = self._invert(amplitudes.relu())
        # Started from zero phase, Griffin-Lim stays symmetric and amplifies rounding errors. A
        # random start, the same for every item, forgets them.
        own = [magnitudes.device] if magnitudes.is_cuda else []
        with torch.no_grad(), torch.random.fork_rng(devices=own):
            angles = torch.cat([self._phase(item[None]) for item in magnitudes])
            phase = torch.polar(torch.ones_like(magnitudes), angles)
        audio = synthesise(magnitudes * phase, self.window, self.hop, samples)
        return audio.view(-1, self.channels, samples)

    def _invert(self, amplitudes: Tensor) -> Tensor:
        """Return non-negative magnitudes [N, F, T] with the bands `amplitudes` [N, bands, T]."""
        target = self.bank @ amplitudes
        magnitudes = target / self.bank.sum(1, keepdim=True).clamp(min=1e-6)
        for _ in range(self.inversion_iters):
            magnitudes = magnitudes * target / (self.bank @ (self.bank.T @ magnitudes) + 1e-12)
        return magnitudes

    def _phase(self, magnitudes: Tensor) -> Tensor:
        """Return the phase by Griffin-Lim, shaped like `magnitudes` [1, F, T]."""
        torch.manual_seed(0)
        frames = magnitudes.shape[-1]
        # Griffin-Lim reflects half a window at each end, so the sound must be longer than that.
        enough = max(frames, self.n_fft // 2 // self.hop + 2)
        # Its sound runs from the centre of the first frame to the centre of the last.
        audio = griffinlim(
            pad(magnitudes, (0, enough - frames)),
            window=self.window,
            n_fft=self.n_fft,
            hop_length=self.hop,
            win_length=self.n_fft,
            power=1.0,
            n_iter=self.griffin_lim_iters,
            momentum=self.momentum,
            length=(enough - 1) * self.hop,
            rand_init=True,
        )
        spectrum = torch.stft(
            audio,
            self.n_fft,
            self.hop,
            window=self.window,
            pad_mode="constant",
            return_complex=True,
        )
        return spectrum[..., :frames].angle()

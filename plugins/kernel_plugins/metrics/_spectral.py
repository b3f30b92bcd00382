"""The modules of metrics that compare the spectra of a sound and its reference."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from kernel import InputError

__all__ = ["MelSpectra", "Spectra"]

POWER_FLOOR = 1e-7
"""Smallest power of a bin in `Spectra`, as in the implementations of Parallel WaveGAN."""


class Pairs(nn.Module):
    """The mean over channels and sounds of `distances`.

    longest: samples of the longest transform. Half of one is mirrored at each end of a sound.
    """

    def __init__(self, longest: int) -> None:
        super().__init__()
        self._shortest = longest // 2 + 1
        self._total, self._count = torch.zeros(()), 0

    def distances(self, audio: Tensor, reference: Tensor) -> Tensor:
        """Return N distances of each channel, [N, C]. audio, reference: [C, L]."""
        raise NotImplementedError

    def update(self, audio: Tensor, reference: Tensor) -> None:
        """Take in a sound and its reference [C, L]. Raises InputError for one that is too short."""
        if audio.shape[-1] < self._shortest:
            raise InputError(
                f"the sound is {audio.shape[-1]} samples long, and its longest frame needs "
                f"{self._shortest}; leave the sound out, or choose shorter frames"
            )
        found = self.distances(audio, reference)
        self._total = self._total + found.sum(1).cpu().double()
        self._count += found.shape[1]

    def reset(self) -> None:
        """Forget the sounds."""
        self._total, self._count = torch.zeros(()), 0

    def mean(self) -> Tensor:
        """Return the mean of each distance, [N]."""
        mean: Tensor = self._total / self._count
        return mean


class MelSpectra(Pairs):
    """The sum over several windows of the mean absolute difference of log10 mel magnitudes."""

    def __init__(
        self, sample_rate: int, windows: Sequence[int], bands: Sequence[int], floor: float
    ) -> None:
        super().__init__(max(windows))
        self._windows, self._floor = tuple(windows), floor
        for place, (window, count) in enumerate(zip(windows, bands, strict=True)):
            with warnings.catch_warnings():
                # A band between two bins is empty, in the published distance as well.
                warnings.filterwarnings("ignore", "At least one mel filterbank", UserWarning)
                scale = {"norm": "slaney", "mel_scale": "slaney"}
                bank = melscale_fbanks(
                    window // 2 + 1, 0.0, sample_rate / 2, count, sample_rate, **scale
                )
            self.register_buffer(f"bank{place}", bank.T, persistent=False)

    def distances(self, audio: Tensor, reference: Tensor) -> Tensor:
        """Return the distance of each channel, [1, C]."""
        places = range(len(self._windows))
        differences = [self._level(audio, k) - self._level(reference, k) for k in places]
        return torch.stack([each.abs().mean((1, 2)) for each in differences]).sum(0, keepdim=True)

    def _level(self, audio: Tensor, place: int) -> Tensor:
        window = self._windows[place]
        magnitude = _power(audio, window, window // 4, window).sqrt()
        bands = self.get_buffer(f"bank{place}") @ magnitude
        return bands.clamp_min(self._floor).log10()

    def compute(self) -> Tensor:
        """Return the distance."""
        return self.mean()[0]


class Spectra(Pairs):
    """Spectral convergence and the difference of log magnitudes, the means over resolutions."""

    def __init__(self, resolutions: Sequence[tuple[int, int, int]]) -> None:
        super().__init__(max(size for size, _, _ in resolutions))
        self._resolutions = tuple(resolutions)

    def distances(self, audio: Tensor, reference: Tensor) -> Tensor:
        """Return both, [2, C]. Raises InputError for a reference that is silent in a channel."""
        if not reference.any(-1).all():
            raise InputError(
                "the reference is silent in a channel, which leaves no magnitude to compare with; "
                "leave the sound out"
            )
        pairs = []
        for resolution in self._resolutions:
            found, wanted = (
                _power(each, *resolution).clamp_min(POWER_FLOOR).sqrt()
                for each in (audio, reference)
            )
            norm = torch.linalg.vector_norm
            convergence = norm(found - wanted, dim=(1, 2)) / norm(wanted, dim=(1, 2))
            magnitude = (found.log() - wanted.log()).abs().mean((1, 2))
            pairs.append(torch.stack([convergence, magnitude]))
        return torch.stack(pairs).mean(0)

    def compute(self) -> dict[str, Tensor]:
        """Return both distances and their sum."""
        convergence, magnitude = self.mean().unbind()
        return {
            "convergence": convergence,
            "magnitude": magnitude,
            "total": convergence + magnitude,
        }


def _power(audio: Tensor, size: int, hop: int, window: int) -> Tensor:
    """Return the power spectra [C, F, T] of `audio` [C, L] in Hann windows of so many samples."""
    shape = torch.hann_window(window, dtype=audio.dtype, device=audio.device)
    spectrum = torch.stft(audio, size, hop, window, shape, return_complex=True)
    return spectrum.real.square() + spectrum.imag.square()

"""Estimates of a recording's damage: its clipping, its bandwidth, its noise."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

QUIETEST = 0.1
"""Share of the frames that count as pure noise."""

SMOOTH = 4
"""Bins on either side in the average of the noise's spectrum."""

DROP = 15.0
"""Least fall of a spectrum at a cut-off, in dB."""


def clip_bounds(audio: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lower and the upper bound at which audio [C, L] is clipped: [C, 1] each.

    A side of a channel is clipped if two samples in a row hold its extreme, three times or more;
    the bound of an unclipped side is infinite.
    """
    return -_ceiling(-audio), _ceiling(audio)


def _ceiling(audio: Tensor) -> Tensor:
    peak = audio.amax(1, keepdim=True)
    # Rounding to single precision may have moved the bound.
    reached = audio >= peak - 1e-6 * peak.abs()
    held = (reached[:, 1:] & reached[:, :-1]).sum(1, keepdim=True)
    return peak.masked_fill(held < 3, math.inf)


def clip_loss(share: float) -> float:
    """Return the fall in dB of the RMS of speech when clipping hits that share of samples, below 1.

    Amplitudes of speech have about a gamma distribution of shape 1/2 (Paez and Glisson 1972): with
    the bound u times its scale, share = erfc(sqrt u), and the rest of the power is
    P(5/2, u) + (4/3) u^2 share. Clipped spoken digits lost one decibel less.
    """
    chance = torch.tensor(share, dtype=torch.float64)
    u = torch.erfinv(1 - chance).square()
    left = torch.special.gammainc(u.new_tensor(2.5), u) + 4 / 3 * u.square() * chance
    return float(-10 * left.log10())


def cutoff(audio: Tensor, sample_rate: int) -> float | None:
    """Return the cut-off frequency of audio [C, L] in Hz, or None without a cut-off.

    At a cut-off, above 15 % of the Nyquist frequency, the long-term spectrum falls by `DROP` within
    5 % of the Nyquist frequency and never rises again to its level before.
    """
    power = _frames(audio, min(1024, audio.shape[-1]), min(1024, audio.shape[-1]) // 4).mean(0)
    level = 10 * (power + 1e-12 * power.max()).log10()
    width = max(1, len(level) // 40)
    if len(level) < 8 * width:
        return None
    mean = level.unfold(0, width, 1).mean(1)
    fall = mean[: -2 * width] - mean[2 * width :]
    highest = mean.flip(0).cummax(0).values.flip(0)[2 * width :]
    fall = fall.where(highest < mean[: -2 * width] - DROP, fall.new_tensor(0.0))
    # At lower frequencies many sounds have as steep a slope over so narrow a band.
    fall[: 6 * width] = 0
    place = int(fall.argmax())
    if fall[place] < DROP:
        return None
    # The edge is in the band between the two means, where the lower side's level ends.
    edge = level[place : place + 3 * width] > mean[place] - DROP
    return (place + int(edge.nonzero().max())) * sample_rate / (2 * (len(level) - 1))


def noise_spectrum(audio: Tensor, n_fft: int) -> Tensor:
    """Return the spectrum of the noise, [n_fft / 2 + 1]; its mean is the power of a sample's noise.

    The estimate is the mean power of the quietest non-silent frames of audio [C, L].
    """
    frames = _frames(audio, n_fft, n_fft // 4)
    power = frames.mean(1)
    frames, power = frames[power > 0], power[power > 0]
    quietest = power.argsort()[: max(1, round(QUIETEST * len(power)))]
    spectrum = frames[quietest].mean(0)
    # A few frames estimate one bin badly, and a mean of neighbours better.
    beside = min(SMOOTH, len(spectrum) - 1)
    smooth = pad(spectrum[None, None], (beside, beside), mode="reflect")
    return avg_pool1d(smooth, 2 * beside + 1, 1)[0, 0]


def _frames(audio: Tensor, n_fft: int, hop: int) -> Tensor:
    """Return the power spectra of the whole frames; white noise has its power in every bin."""
    window = torch.hann_window(n_fft, dtype=audio.dtype)
    if audio.shape[-1] < n_fft:
        audio = pad(audio, (0, n_fft - audio.shape[-1]))
    spectra = torch.fft.rfft(audio.unfold(-1, n_fft, hop) * window)
    power: Tensor = spectra.abs().square() / window.square().sum()
    return power.flatten(0, 1)

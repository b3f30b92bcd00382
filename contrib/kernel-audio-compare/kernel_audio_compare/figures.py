"""What is measured of cells: intervals, distances between sounds, and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FEW", "front", "interval", "mel_distance"]

RESAMPLES = 2000
LEVEL = 95.0
FEWEST = 5
FEW = 20
"""Of fewer items an interval is too narrow: it covers the mean less often than it says."""
RANGE = 60.0
"""dB below the loudest band of the converged sound at which both spectra are held.

At 80, the rounding of a file to 16 bits is a distance of 0.03 dB; at 60, of 0.002.
"""


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean by the percentile bootstrap; None of fewer than five.

    Items are drawn anew 2,000 times, by the same draws for every list of one length, so that cells
    with the same items are compared on the same draws. Efron and Tibshirani 1993, section 13.3.
    """
    count = len(values)
    if count < FEWEST:
        return None
    given, draw = np.asarray(values, np.float64), np.random.default_rng(0)
    rows = max(1, min(RESAMPLES, 1_000_000 // count))
    means: list[np.ndarray] = []
    for start in range(0, RESAMPLES, rows):
        taken = draw.integers(0, count, (min(rows, RESAMPLES - start), count))
        means.append(given[taken].mean(axis=1))
    low, high = np.percentile(np.concatenate(means), (50 - LEVEL / 2, 50 + LEVEL / 2))
    return float(low), float(high)


def mel_distance(sound: Tensor, converged: Tensor, sample_rate: int) -> float:
    """Return the log-spectral distance of two sounds on mel bands, in dB.

    sound, converged: [C, L], brought to the longer length with zeros. Powers of mel bands (windows
    of about 32 ms, hops of a quarter) become decibels, held at 60 dB below the loudest of
    `converged`; the result is the mean over frames and channels of the root mean square over
    bands. It is the rms log spectral measure of Gray and Markel 1976, with mel bands in the
    place of frequencies; a gain of g everywhere is a distance of 20 |log10 g|.
    """
    import torch
    from torchaudio.transforms import MelSpectrogram

    n_fft = max(64, 1 << round(np.log2(0.032 * sample_rate)))
    mels = MelSpectrogram(
        sample_rate,
        n_fft=n_fft,
        hop_length=n_fft // 4,
        n_mels=min(80, n_fft // 8),
        norm="slaney",
        mel_scale="slaney",
    ).double()
    length = max(sound.shape[-1], converged.shape[-1], n_fft)
    pair = [
        mels(torch.nn.functional.pad(each.double(), (0, length - each.shape[-1])))
        for each in (sound, converged)
    ]
    lowest = max(float(pair[1].max()) * 10 ** (-RANGE / 10), 1e-20)
    ours, theirs = (10 * each.clamp_min(lowest).log10() for each in pair)
    return float((ours - theirs).square().mean(dim=-2).sqrt().mean())


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Return of each point (cost, error) whether no other is as good in both and better in one."""
    return [
        not any(
            cost <= own_cost and error <= own_error and (cost, error) != (own_cost, own_error)
            for cost, error in points
        )
        for own_cost, own_error in points
    ]

"""Recordings damaged in known ways."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
from frames import Array
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.signal import fftconvolve, firwin

GAP = 0.05
"""Seconds that a gap is long."""

GAPS_A_SECOND = 3

APART = 0.06
"""Seconds between two gaps, and between a gap and the ends of the recording."""

SPEECH = 25.0
"""dB below its loudest frame down to which a recording counts as speech."""

TAIL = 0.25
"""Seconds for which the noise goes on alone after the recording."""

TAPS = 511
"""Taps of the low-pass filter; it falls by 80 dB within 80 Hz at 8 kHz."""


@attrs.frozen(eq=False)
class Damaged:
    """A recording [L], what is given of it [L or more], and which of its samples were lost [L].

    `lost` is None where none of them is as it was. The rest is what restorers may be told: the
    gaps as (start, stop) in samples, the clip level.
    """

    clean: Array
    given: Array
    lost: NDArray[np.bool_] | None = None
    spans: tuple[tuple[int, int], ...] = ()
    level: float = 1.0


def sdr(sound: Array, clean: Array) -> float:
    """Return the level of `clean` over that of what is wrong in `sound`, in dB."""
    wrong = sound - clean
    return 10 * float(np.log10((clean @ clean) / max(wrong @ wrong, 1e-30)))


def with_gaps(clean: Array, rate: int, chance: np.random.Generator) -> Damaged:
    """Return a recording with gaps of silence where someone speaks, at places left to chance.

    There are GAPS_A_SECOND, at least one, or as many as have room APART.
    """
    gap, apart = round(GAP * rate), round(APART * rate)
    energy = np.convolve(clean**2, np.ones(gap), "valid")
    allowed = energy >= energy.max() * 10 ** (-SPEECH / 10)
    allowed[:apart] = False
    allowed[max(0, len(clean) - apart - gap + 1) :] = False
    spans = []
    for _ in range(max(1, round(GAPS_A_SECOND * len(clean) / rate))):
        places = np.flatnonzero(allowed)
        if not len(places):
            break
        start = int(chance.choice(places))
        spans.append((start, start + gap))
        allowed[max(0, start - gap - apart + 1) : start + gap + apart] = False
    if not spans:
        raise ValueError(f"a recording of {len(clean) / rate:.3f} s has no room for a gap")
    lost = np.zeros(len(clean), bool)
    for start, stop in spans:
        lost[start:stop] = True
    return Damaged(clean, np.where(lost, 0, clean), lost, tuple(sorted(spans)))


def clipped(clean: Array, target: float) -> Damaged:
    """Return a recording clipped at the level that leaves it an SDR of `target` dB."""
    peak = float(np.abs(clean).max())

    def excess(level: float) -> float:
        return sdr(np.clip(clean, -level, level), clean) - target

    level = float(brentq(excess, 1e-4 * peak, (1 - 1e-9) * peak, xtol=1e-9 * peak))
    return Damaged(clean, np.clip(clean, -level, level), lost=np.abs(clean) >= level, level=level)


def low_passed(clean: Array, rate: int, cutoff: float) -> Damaged:
    """Return a recording through a linear-phase low-pass filter whose delay is taken off."""
    filter_ = firwin(TAPS, cutoff, window=("kaiser", 7.857), fs=rate)
    return Damaged(clean, fftconvolve(clean, filter_, "same"))


def with_noise(clean: Array, noise: Array, rate: int, snr: float, place: float) -> Damaged:
    """Return a recording in noise that goes on for TAIL after it, at an SNR in dB.

    The noise begins at a `place` of it, between 0 and 1. The SNR is that of the recording's own
    span.
    """
    samples = len(clean) + round(TAIL * rate)
    start = int(place * (len(noise) - samples))
    part = noise[start : start + samples]
    beside = part[: len(clean)]
    part = part * np.sqrt((clean @ clean) / (beside @ beside)) * 10 ** (-snr / 20)
    return Damaged(clean, np.pad(clean, (0, samples - len(clean))) + part)


def spoken(spans: Sequence[tuple[int, int]], rate: int) -> str:
    """Return spans in samples as the text that tasks take: seconds, exact to the sample."""
    return ",".join(f"{start / rate:.6f}:{stop / rate:.6f}" for start, stop in spans)

"""Audio as pictures: levels over time and frequency, and the outline of the waveform."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["QUIETEST", "RANGE", "levels", "outline", "ticks", "top"]

RANGE = 80.0
"""Range of a picture in dB below its loudest point."""

QUIETEST = -60.0
"""Lowest level in dB of the brightest colour: silence alone is dark too."""

_WINDOW = 0.032
"""Window in seconds; it resolves the harmonics of a voice and shows its onsets."""

_SILENCE = 1e-14
"""Power of silence in a picture, -140 dB."""

_FRAMES = 64
"""Largest number of frames averaged into one column of a picture."""

_BLOCK = 2048
"""Number of frames transformed at once."""


def levels(
    audio: NDArray[np.floating],
    sample_rate: int,
    rows: int = 160,
    columns: int = 560,
    part: slice = slice(None),
) -> NDArray[np.float64]:
    """Return the level in dB, 0 for a sine at full scale; [rows, columns], low frequencies first.

    audio: [C, L]; the picture is the mean power of the channels. Any length fills the columns:
    frames of short audio overlap more, frames of long audio are averaged. `part` chooses the
    samples to show; windows at its edges reach beyond it.
    """
    import numpy as np

    begin, end, _ = part.indices(audio.shape[1])
    length = max(end - begin, 0)
    size = 2 ** min(max(round(math.log2(_WINDOW * sample_rate)), 4), 12)
    window = np.hanning(size + 1)[:-1]
    window *= 2 / window.sum()
    padded = np.pad(np.asarray(audio, np.float64), [(0, 0), (size // 2, size - size // 2)])
    views = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)

    frames = min(max(math.ceil(length / (size // 4) / columns), 1), _FRAMES)
    starts = (np.arange(columns * frames) + 0.5) * length / (columns * frames)
    starts = starts.astype(int) + begin
    points = max(size, 2 * rows)
    edges = np.linspace(0, points // 2 + 1, rows + 1).astype(int)[:-1]
    power = np.empty((columns, rows))
    width = max(_BLOCK // frames, 1)
    for first in range(0, columns, width):
        block = views[:, starts[first * frames : (first + width) * frames]] * window
        spectrum = np.abs(np.fft.rfft(block, points)) ** 2
        mean = spectrum.mean(0).reshape(-1, frames, spectrum.shape[-1]).mean(1)
        power[first : first + width] = np.maximum.reduceat(mean, edges, axis=1)
    level: NDArray[np.float64] = 10 * np.log10(power.T + _SILENCE)
    return level


def top(pictures: Iterable[NDArray[np.float64]]) -> float:
    """Return the level in dB of the brightest colour of all the pictures."""
    return max([QUIETEST, *(float(picture.max()) for picture in pictures)])


def outline(audio: NDArray[np.floating], columns: int) -> NDArray[np.float64]:
    """Return the lowest and the highest sample of each column; [C, 2, N], N <= columns.

    audio: [C, L]; audio without samples gives one silent column.
    """
    import numpy as np

    audio = np.asarray(audio, np.float64)
    if not audio.shape[1]:
        return np.zeros((audio.shape[0], 2, 1))
    edges = np.linspace(0, audio.shape[1], min(columns, audio.shape[1]) + 1).astype(int)[:-1]
    low = np.minimum.reduceat(audio, edges, axis=1)
    high = np.maximum.reduceat(audio, edges, axis=1)
    return np.stack([low, high], axis=1)


def ticks(stop: float, start: float = 0.0) -> list[float]:
    """Return two to five round times in seconds from `start` to `stop`, evenly spaced."""
    rough = max(stop - start, 1e-6) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in (1, 2, 2.5, 5, 10) if nice * power >= rough * (1 - 1e-9))
    first = math.ceil(start / step * (1 - 1e-9))
    return [index * step for index in range(first, int(stop / step * (1 + 1e-9)) + 1)]

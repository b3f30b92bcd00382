"""Overlapping frames of a recording, and the recording that they add up to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

OVERLAP = 4
"""How many frames each sample lies in."""


def window(length: int) -> Array:
    """Return half a sine, [length]; the squares of those over one sample add up to OVERLAP / 2."""
    return np.sin(np.pi * (np.arange(length) + 0.5) / length)


def cut(samples: NDArray, length: int) -> NDArray:
    """Return the frames [F, length] of `samples` [L], zeros around them, every length / OVERLAP."""
    hop = length // OVERLAP
    count = -(-len(samples) // hop) + OVERLAP - 1
    padded = np.zeros((count + OVERLAP - 1) * hop, samples.dtype)
    padded[length - hop : length - hop + len(samples)] = samples
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop].copy()


def join(frames: Array, samples: int) -> Array:
    """Return the samples [L] of frames that carry the square of `window`: the inverse of `cut`."""
    count, length = frames.shape
    hop = length // OVERLAP
    total = np.zeros((count + OVERLAP - 1) * hop)
    for index, frame in enumerate(frames):
        total[index * hop : index * hop + length] += frame
    return total[length - hop : length - hop + samples] / (OVERLAP / 2)

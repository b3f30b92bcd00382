"""The classical ways to undo clipping: a spline, linear prediction, sparse frames.

In all of them what was not clipped stays, and what was goes at least as far as it was cut off.
"""

from __future__ import annotations

import numpy as np
from autoregression import burg, errors
from frames import Array, cut, join, window
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import nnls

REDUNDANCY = 2
"""Frequencies of a frame's transform over those that it would need."""


def spline(given: Array, level: float) -> Array:
    """Return `given` with a cubic spline through its other samples where it was clipped."""
    lost = _lost(given, level)
    place = np.arange(len(given))
    through = CubicSpline(place[~lost], given[~lost])
    return _consistent(np.where(lost, through(place), given), given, level)


def predicted(given: Array, level: float, frame: int, order: int, iterations: int) -> Array:
    """Return the clipped samples that an autoregressive model of each frame finds most likely.

    Like the interpolation of gaps by Janssen et al. 1986, but with the least squares among samples
    beyond the clip level only, which is a problem in non-negative unknowns.
    """
    frames = cut(given, frame)
    for part in frames:
        lost = _lost(part, level)
        side = np.sign(part[lost])
        for _ in range(iterations if lost.any() else 0):
            matrix = errors(burg(part, order), frame)
            held = np.where(lost, level * np.sign(part), part)
            excess, _ = nnls(matrix[:, lost] * side, -(matrix @ held), maxiter=30 * frame)
            part[lost] = side * (level + excess)
    return _consistent(join(frames * window(frame) ** 2, len(given)), given, level)


def sparse(given: Array, level: float, frame: int, steps: int, tolerance: float = 0.01) -> Array:
    """Return consistent frames of as few frequencies as will do: A-SPADE.

    Each step allows one more frequency of each frame's transform, zero-padded to REDUNDANCY times
    its length, until frame and frequencies differ by less than `tolerance` of the frame (Kitic,
    Bertin and Gribonval 2015, "Sparsity and cosparsity for audio declipping", Algorithm 2).
    """
    shape = window(frame)
    frames = cut(given, frame)
    lost = _lost(frames, level)
    observed = frames * shape
    lower = np.where(lost & (frames < 0), -np.inf, observed)
    upper = np.where(lost & (frames > 0), np.inf, observed)
    size = REDUNDANCY * frame
    part = observed.copy()
    dual = np.zeros((len(frames), size // 2 + 1), complex)
    limit = tolerance * np.linalg.norm(observed, axis=1)
    left = np.flatnonzero(lost.any(1))
    for count in range(1, min(steps, dual.shape[1]) + 1):
        analysed = np.fft.rfft(part[left], size, norm="ortho")
        kept = _largest(analysed + dual[left], count)
        back = np.fft.irfft(kept - dual[left], size, norm="ortho")[:, :frame]
        part[left] = np.clip(back, lower[left], upper[left])
        gap = np.fft.rfft(part[left], size, norm="ortho") - kept
        dual[left] += gap
        left = left[np.linalg.norm(gap, axis=1) > limit[left]]
        if not len(left):
            break
    return _consistent(join(part * shape, len(given)), given, level)


def _largest(spectra: NDArray[np.complex128], count: int) -> NDArray[np.complex128]:
    """Return the spectra [F, K] with all but the `count` strongest frequencies of each at 0."""
    size = np.abs(spectra)
    least = np.partition(size, -count, axis=1)[:, -count, None]
    return np.where(size >= least, spectra, 0)


def _lost(given: Array, level: float) -> NDArray[np.bool_]:
    return np.abs(given) >= level * (1 - 1e-6)


def _consistent(restored: Array, given: Array, level: float) -> Array:
    """Return what was not clipped as it was, and the rest beyond the level."""
    beyond = np.sign(given) * np.maximum(restored * np.sign(given), level)
    return np.where(_lost(given, level), beyond, given)

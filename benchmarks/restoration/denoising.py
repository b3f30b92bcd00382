"""The classical ways to take noise away: spectral subtraction, and the decision-directed Wiener."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from frames import Array, cut, join, window

QUIET = 0.2
"""Share of the frames, the quietest, that the noise is estimated from."""


def subtracted(given: Array, frame: int, floor: float = 0.01) -> Array:
    """Return `given` with the noise's power, and more of it where there is much, subtracted.

    |S|^2 = max(|Y|^2 - a |N|^2, b |N|^2) with a = 4 - 3/20 SNR in dB of the frame, from 1 to 5
    (Berouti, Schwartz and Makhoul 1979, "Enhancement of speech corrupted by acoustic noise").
    """

    def gain(power: Array, noise: Array) -> Array:
        ratio = power.sum(1, keepdims=True) / noise.sum()
        snr = 10 * np.log10(np.maximum(ratio - 1, 1e-3))
        factor = np.clip(4 - 3 / 20 * snr, 1, 5)
        left = np.maximum(power - factor * noise, floor * noise)
        return np.sqrt(np.minimum(left / np.maximum(power, 1e-30), 1))

    return _filtered(given, frame, gain)


def wiener(given: Array, frame: int, memory: float = 0.95, floor: float = -25.0) -> Array:
    """Return `given` through Wiener's filter, its SNR decided from frame to frame.

    G = x / (1 + x),  x_t = m |S_{t-1}|^2 / |N|^2 + (1 - m) max(|Y_t|^2 / |N|^2 - 1, 0), at least
    `floor` dB (Ephraim and Malah 1984, eq. 51; the filter is that of Scalart and Filho 1996).
    """

    def gain(power: Array, noise: Array) -> Array:
        gains = np.empty_like(power)
        before = np.zeros_like(noise)
        for index, now in enumerate(power):
            posterior = now / noise
            prior = memory * before + (1 - memory) * np.maximum(posterior - 1, 0)
            prior = np.maximum(prior, 10 ** (floor / 10))
            gains[index] = prior / (1 + prior)
            before = gains[index] ** 2 * posterior
        return gains

    return _filtered(given, frame, gain)


def _filtered(given: Array, frame: int, gain: Callable[[Array, Array], Array]) -> Array:
    """Return `given` with gain(power [F, K], power of the noise [K]) on its spectra."""
    shape = window(frame)
    spectra = np.fft.rfft(cut(given, frame) * shape)
    power = np.abs(spectra) ** 2
    changed = np.fft.irfft(spectra * gain(power, _noise(power)), frame)
    return join(changed * shape, len(given))


def _noise(power: Array) -> Array:
    """Return the noise's power spectrum [K], from the quietest of the whole frames [F, K]."""
    whole = power[3:-3] if len(power) > 12 else power
    loudness = whole.sum(1)
    quiet = whole[loudness <= np.quantile(loudness, QUIET)]
    return np.maximum(quiet.mean(0), 1e-20)

"""The classical way to a wider band without a model: the band below, mirrored."""

from __future__ import annotations

import numpy as np
from frames import Array, cut, join, window
from scipy.ndimage import uniform_filter1d

SMOOTH = 300.0
"""Width in Hz over which a spectrum is flattened before it is mirrored."""


def mirrored(given: Array, rate: int, cutoff: float, frame: int, drop: float) -> Array:
    """Return `given` with all above `cutoff` filled by what is as far below it.

    Spectral folding (Makhoul and Berouti 1979, "High-frequency regeneration in speech coding
    systems"), in frames: the spectrum below is flattened, mirrored and set to the level of the
    octave below the cutoff, `drop` dB lower.
    """
    shape = window(frame)
    carrier = np.cos(2 * np.pi * 2 * cutoff / rate * np.arange(len(given)))
    spectra, folded = (np.fft.rfft(cut(each, frame) * shape) for each in (given, given * carrier))
    size = uniform_filter1d(
        np.abs(folded) ** 2, max(3, round(SMOOTH / rate * frame)), axis=1, mode="nearest"
    )
    edge = round(cutoff / rate * frame)
    level = (np.abs(spectra[:, edge // 2 : edge]) ** 2).mean(1, keepdims=True)
    gain = np.sqrt(level / np.maximum(size, 1e-20)) * 10 ** (-drop / 20)
    spectra[:, edge + 1 :] += (gain * folded)[:, edge + 1 :]
    return join(np.fft.irfft(spectra, frame) * shape, len(given))

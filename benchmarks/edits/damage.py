"""Damage a recording in a known way, for tasks that repair.

    python benchmarks/edits/damage.py KIND FILE OUT [--other FILE]

KIND is `clip` (all but a fifth of the peak is lost), `narrow` (nothing above 2 kHz), `noise`
(white, 10 dB below the sound), `room` (in the room whose response is --other) or `mix` (with the
recording --other).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal

Array = NDArray[np.float64]


def clip(sound: Array, rate: int, other: Array) -> Array:
    """Return the sound cut off at a fifth of its peak."""
    level = np.abs(sound).max() / 5
    return np.clip(sound, -level, level)


def narrow(sound: Array, rate: int, other: Array) -> Array:
    """Return what is below 2 kHz."""
    return signal.sosfiltfilt(signal.butter(12, 2000, fs=rate, output="sos"), sound)


def noise(sound: Array, rate: int, other: Array) -> Array:
    """Return the sound with white noise 10 dB below it."""
    chance = np.random.default_rng(0).standard_normal(len(sound))
    return sound + chance * np.sqrt(np.mean(sound**2) / 10)


def room(sound: Array, rate: int, other: Array) -> Array:
    """Return the sound in a room."""
    return signal.fftconvolve(sound, other / np.abs(other).max())[: len(sound)]


def mix(sound: Array, rate: int, other: Array) -> Array:
    """Return the sum of two sounds of the same power, as long as the longer one."""
    whole = np.zeros(max(len(sound), len(other)))
    whole[: len(sound)] += sound / np.std(sound)
    whole[: len(other)] += other / np.std(other)
    return whole


KINDS = {kind.__name__: kind for kind in (clip, narrow, noise, room, mix)}


def read(path: Path, rate: int | None = None) -> tuple[Array, int]:
    """Return the first channel of a file, at `rate` if one is given, and its rate."""
    sound, own = soundfile.read(path, always_2d=True)
    if rate in (None, own):
        return sound[:, 0], own
    return signal.resample_poly(sound[:, 0], rate, own), rate


def main() -> None:
    """Write the damaged recording, its peak at half of full scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--other", type=Path)
    given = parser.parse_args()
    sound, rate = read(given.file)
    other = read(given.other, rate)[0] if given.other else sound
    damaged = KINDS[given.kind](sound, rate, other)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(given.out, damaged / (2 * np.abs(damaged).max()), rate, subtype="PCM_16")


if __name__ == "__main__":
    main()

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

from kernel import read_audio

Array = NDArray[np.float64]


def clip(sound: Array, rate: int, other: Array) -> Array:
    """Return the sound cut off at a fifth of its peak."""
    level = np.abs(sound).max() / 5
    return np.clip(sound, -level, level)


def narrow(sound: Array, rate: int, other: Array) -> Array:
    """Return what is below 2 kHz, where a windowed sinc leaves half of the amplitude."""
    half = rate // 60  # 160 Hz from all to nothing (Kaiser window, beta 8: about 80 dB)
    share = 4000 / rate
    taps = share * np.sinc(share * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, 8.0)
    return np.convolve(sound, taps / taps.sum())[half : half + len(sound)]


def noise(sound: Array, rate: int, other: Array) -> Array:
    """Return the sound with white noise 10 dB below it."""
    chance = np.random.default_rng(0).standard_normal(len(sound))
    return sound + chance * np.sqrt(np.mean(sound**2) / 10)


def room(sound: Array, rate: int, other: Array) -> Array:
    """Return the sound in a room."""
    size = len(sound) + len(other) - 1
    heard = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(other, size), size)
    return heard[: len(sound)] / np.abs(other).max()


def mix(sound: Array, rate: int, other: Array) -> Array:
    """Return the sum of two sounds of the same power, as long as the longer one."""
    whole = np.zeros(max(len(sound), len(other)))
    whole[: len(sound)] += sound / np.std(sound)
    whole[: len(other)] += other / np.std(other)
    return whole


KINDS = {kind.__name__: kind for kind in (clip, narrow, noise, room, mix)}


def read(path: Path, rate: int | None = None) -> tuple[Array, int]:
    """Return the first channel of a file, at `rate` if one is given, and its rate."""
    audio, found = read_audio(path, rate)
    return audio[0].double().numpy(), found


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

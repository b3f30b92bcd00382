"""The picture of what was restored: a row of spectrograms for each case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from frames import Array, cut, window
from matplotlib.figure import Figure

FRAME = 256
RANGE = 60.0


def draw(cases: Sequence[tuple[str, Mapping[str, Array]]], rate: int, path: Path) -> None:
    """Draw the sounds of each case, named, beside one another; the first sets the colours."""
    columns = max(len(sounds) for _, sounds in cases)
    figure = Figure(figsize=(2.6 * columns, 1.9 * len(cases) + 0.3), layout="constrained")
    panels = figure.subplots(len(cases), columns, squeeze=False)
    for line, (title, sounds) in zip(panels, cases, strict=True):
        powers = [_decibels(sound) for sound in sounds.values()]
        top = float(powers[0].max())
        for panel, name, power, sound in zip(line, sounds, powers, sounds.values(), strict=False):
            panel.imshow(
                power,
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=top - RANGE,
                vmax=top,
                extent=(0, len(sound) / rate, 0, rate / 2000),
            )
            panel.set_title(name, fontsize=8)
            panel.tick_params(labelsize=6)
        line[0].set_ylabel(f"{title}\nkHz", fontsize=7)
        for panel in line[len(sounds) :]:
            panel.set_visible(False)
    figure.supxlabel("seconds", fontsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _decibels(sound: Array) -> Array:
    """Return the power spectra [K, F] in dB."""
    spectra = np.fft.rfft(cut(sound, FRAME) * window(FRAME) ** 2)
    return 10 * np.log10(np.abs(spectra.T) ** 2 + 1e-12)

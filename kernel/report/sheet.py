"""Spectrograms as PNG: all sounds of a run on one sheet, or one sound by itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from kernel.files import write_atomic
from kernel.report.spectrum import RANGE, levels, outline, ticks, top

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["paint", "spectrogram_png", "spectrogram_sheet"]

_COLOURS = "magma"
_PAPER, _INK, _FAINT, _WAVE = "#101014", "#ececf1", "#8b8b98", "#b9b9c6"
_LIMIT = 64
_DPI = 150
_WIDTHS = {1: 7.0, 2: 5.0, 3: 3.8, 4: 3.1}
"""Width of a panel in inches by the number of columns; more columns have the last."""


def spectrogram_png(
    audio: NDArray[np.floating], sample_rate: int, loudest: float | None = None
) -> bytes:
    """Return a PNG of the spectrogram alone, edge to edge: time runs right, frequency up.

    audio: [C, L]. `loudest` is the level in dB of the brightest colour, by default the loudest
    point of this audio; colours end 80 dB below.
    """
    return paint(levels(audio, sample_rate), loudest)


def paint(picture: NDArray[np.float64], loudest: float | None = None) -> bytes:
    """Return a PNG of what `levels` returned; `loudest` as in `spectrogram_png`."""
    from matplotlib.image import imsave

    loudest = top([picture]) if loudest is None else loudest
    buffer = BytesIO()
    imsave(
        buffer,
        picture,
        origin="lower",
        format="png",
        cmap=_COLOURS,
        vmin=loudest - RANGE,
        vmax=loudest,
    )
    return buffer.getvalue()


def spectrogram_sheet(
    items: Sequence[tuple[str, NDArray[np.floating]]], sample_rate: int, path: Path
) -> None:
    """Write one PNG with the spectrograms and waveforms of `items`, (label, audio [C, L]) each.

    All share one scale in dB, 0 at the loudest point of the sheet, and one of amplitude. The sheet
    shows the first 64 items and says how many more there are.
    Raises ValueError when there is no item, OutputError when the place cannot be written.
    """
    if not items:
        raise ValueError("a sheet needs at least one item")
    from matplotlib.figure import Figure

    shown = items[:_LIMIT]
    pictures = [levels(audio, sample_rate) for _, audio in shown]
    outlines = [outline(audio, 480) for _, audio in shown]
    loudest = top(pictures)
    peak = max(float(abs(wave).max()) for wave in outlines) or 1.0
    alike = len({audio.shape[1] for _, audio in shown}) == 1

    grid = _Grid.of(len(shown))
    figure = Figure(figsize=grid.size, dpi=_DPI, facecolor=_PAPER)
    image: Any = None
    for index, (label, audio) in enumerate(shown):
        axes = figure.add_axes(grid.panel(index))
        seconds = max(audio.shape[1], 1) / sample_rate
        nyquist = sample_rate / 2000
        image = axes.imshow(
            pictures[index],
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, nyquist),
            cmap=_COLOURS,
            vmin=loudest - RANGE,
            vmax=loudest,
            interpolation="bilinear",
        )
        _draw_wave(axes, outlines[index] / peak, seconds, nyquist)
        _dress(axes, grid, index, seconds, nyquist, time=not alike or grid.lowest(index))
        _write(axes, label, grid.letters)
    _draw_scale(figure, grid, image, len(items) - len(shown))

    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", facecolor=_PAPER, metadata={"Software": "kernel"})
    write_atomic(path, buffer.getvalue())


@attrs.frozen
class _Grid:
    """Where each panel of a sheet lies; lengths in inches."""

    count: int
    columns: int
    rows: int
    width: float

    left = 0.55
    right = 0.3
    top = 0.15
    bottom = 0.75
    title = 0.3
    gap = 0.22

    @classmethod
    def of(cls, count: int) -> _Grid:
        """Choose the columns so that the sheet is about 16:9 and few places stay empty."""

        def cost(columns: int) -> float:
            rows = math.ceil(count / columns)
            empty = columns * rows - count
            return abs(math.log(columns * 1.6 / rows / 1.9)) + 6 * empty / count

        columns = min(range(1, min(count, 8) + 1), key=cost)
        return cls(count, columns, math.ceil(count / columns), _WIDTHS.get(columns, 2.6))

    @property
    def height(self) -> float:
        """Return the height of a panel with its waveform."""
        return self.width * (0.5 if self.columns == 1 else 0.58)

    @property
    def pitch(self) -> float:
        """Return the distance from one row to the next."""
        return self.title + self.height + self.gap

    @property
    def size(self) -> tuple[float, float]:
        """Return the width and the height of the sheet."""
        across = self.columns * (self.width + self.gap) - self.gap
        return (
            self.left + across + self.right,
            self.top + self.rows * self.pitch - self.gap + self.bottom,
        )

    @property
    def letters(self) -> int:
        """Return how many letters of a title fit above a panel."""
        return int(self.width * 11)

    def lowest(self, index: int) -> bool:
        """Return whether nothing lies below the panel."""
        return index + self.columns >= self.count

    def panel(self, index: int) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height as fractions of the sheet."""
        row, column = divmod(index, self.columns)
        width, height = self.size
        left = self.left + column * (self.width + self.gap)
        below = height - self.top - row * self.pitch - self.title - self.height
        return left / width, below / height, self.width / width, self.height / height


def _draw_wave(axes: Axes, wave: NDArray[np.float64], seconds: float, nyquist: float) -> None:
    import numpy as np

    lane = 0.3 * nyquist / len(wave)
    time = np.linspace(0, seconds, wave.shape[-1]) if wave.shape[-1] > 1 else [0, seconds]
    for index, (low, high) in enumerate(wave):
        middle = 1.34 * nyquist - (index + 0.5) * lane
        axes.fill_between(
            time,
            middle + 0.46 * lane * np.minimum(low, -0.02),
            middle + 0.46 * lane * np.maximum(high, 0.02),
            color=_WAVE,
            linewidth=0,
            snap=False,
        )


def _dress(
    axes: Axes, grid: _Grid, index: int, seconds: float, nyquist: float, *, time: bool
) -> None:
    axes.set_ylim(0, 1.36 * nyquist)
    axes.set_xlim(0, seconds)
    axes.set_facecolor(_PAPER)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_yticks([0, nyquist / 2, nyquist])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    moments = ticks(seconds)
    axes.set_xticks(moments, [f"{moment:g}" for moment in moments])
    for label, moment in zip(axes.get_xticklabels(), moments, strict=True):
        if moment < 0.03 * seconds or moment > 0.97 * seconds:
            label.set_horizontalalignment("right" if moment else "left")
    axes.tick_params(
        colors=_FAINT,
        labelsize=7,
        length=2,
        width=0.6,
        pad=2,
        labelleft=index % grid.columns == 0,
        labelbottom=time,
    )
    if index % grid.columns == 0:
        axes.set_ylabel("kHz", color=_FAINT, fontsize=7, labelpad=3, y=0.37)
    if grid.lowest(index):
        axes.set_xlabel("s", color=_FAINT, fontsize=7, labelpad=1)


def _write(axes: Axes, title: str, letters: int) -> None:
    title = " ".join(title.split())
    short = title if len(title) <= letters else title[: letters - 1].rstrip() + "…"
    axes.set_title(
        short, loc="left", color=_INK, fontsize=9, pad=4, family="DejaVu Sans", parse_math=False
    )


def _draw_scale(figure: Figure, grid: _Grid, image: Any, more: int) -> None:
    width, height = grid.size
    left, length, middle = width - grid.right - 1.55, 1.2, 0.24 / height
    axes = figure.add_axes((left / width, middle - 0.035 / height, length / width, 0.07 / height))
    bar = figure.colorbar(image, cax=axes, orientation="horizontal", ticks=[])
    bar.outline.set_visible(False)
    style: dict[str, Any] = {"color": _FAINT, "fontsize": 7, "va": "center"}
    figure.text((left - 0.06) / width, middle, f"\u2212{RANGE:.0f}", ha="right", **style)
    figure.text((width - grid.right) / width, middle, "0 dB", ha="right", **style)
    if more > 0:
        figure.text(grid.left / width, middle, f"and {more} more", **style)

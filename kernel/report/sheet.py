"""Spectrograms as PNG: all sounds of a run on one sheet, or one sound by itself."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from kernel.files import write_atomic
from kernel.report._shown import Shown, shown
from kernel.report.spectrum import RANGE, levels, ticks, top

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["paint", "spectrogram_png", "spectrogram_sheet"]

_COLOURS = "magma"
_PAPER, _INK, _FAINT, _WAVE = "#101014", "#ececf1", "#8b8b98", "#b9b9c6"
_MARK = "#5ce1e6"
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
    path: Path,
    record: Mapping[str, Any],
    items: Sequence[NDArray[np.floating]],
    given: Sequence[NDArray[np.floating] | None] = (),
) -> None:
    """Write one PNG with the spectrograms and waveforms of a run's items, audio [C, L] each.

    record: as `kernel.report.record` lists it, for titles, sample rates and edited spans. given:
    the recording [C, L] that each item was made from, or None, which is drawn above the item; of a
    long sound with short spans, both show the spans and what is around them.

    All share one scale in dB, 0 at the loudest point of the sheet, and one of amplitude. The sheet
    shows the first 64 sounds and says how many more items there are.
    Raises ValueError when there is no item, OutputError when the place cannot be written.
    """
    if not items:
        raise ValueError("a sheet needs at least one item")
    from matplotlib.figure import Figure

    groups = shown(record, items, given)
    deep = max(map(len, groups))
    more = len(groups) - _LIMIT // deep
    groups = groups[: _LIMIT // deep]
    sounds = [sound for group in groups for sound in group]
    pictures = [sound.levels() for sound in sounds]
    outlines = [sound.outline(480) for sound in sounds]
    loudest = top(pictures)
    peak = max(float(abs(wave).max()) for wave in outlines) or 1.0
    alike = len({sound.view for sound in sounds}) == 1
    grid = _Grid.of(
        len(groups),
        deep,
        long=any(sound.long for sound in sounds),
        rates=len({sound.rate for sound in sounds}),
    )

    figure = Figure(figsize=grid.size, dpi=_DPI, facecolor=_PAPER)
    image: Any = None
    places = ((index, group, sound) for index, group in enumerate(groups) for sound in group)
    for (index, group, sound), picture, wave in zip(places, pictures, outlines, strict=True):
        below = sound is group[-1]
        axes = figure.add_axes(grid.panel(index, deep - 1 if below else 0))
        nyquist = sound.rate / 2000
        start, stop = sound.seen
        image = axes.imshow(
            picture,
            origin="lower",
            aspect="auto",
            extent=(start, max(stop, start + 1 / sound.rate), 0, nyquist),
            cmap=_COLOURS,
            vmin=loudest - RANGE,
            vmax=loudest,
            interpolation="bilinear",
        )
        lowest = below and grid.lowest(index)
        _draw_wave(axes, wave / peak, sound)
        _draw_spans(axes, sound)
        _dress(axes, sound, grid.first(index), time=lowest or (below and not alike), lowest=lowest)
        title = f"{sound.title}: given" if sound.side == "given" else sound.title
        note = f"{sound.view[0]:.4g}\u2013{sound.view[1]:.4g} s" if sound.excerpt else ""
        _write(axes, title, note, grid.letters)
    _draw_scale(figure, grid, image, more)

    buffer = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="png", facecolor=_PAPER, metadata={"Software": "kernel"})
    write_atomic(path, buffer.getvalue())


@attrs.frozen
class _Grid:
    """Where each panel of a sheet lies; lengths in inches.

    A place holds `deep` panels, one above another.
    """

    count: int
    columns: int
    rows: int
    width: float
    height: float
    between: float
    deep: int = 1
    every: bool = False

    left = 0.55
    right = 0.3
    top = 0.15
    bottom = 0.75
    title = 0.3
    gap = 0.22

    @classmethod
    def of(cls, count: int, deep: int = 1, *, long: bool = False, rates: int = 1) -> _Grid:
        """Choose the columns so that the sheet is about 16:9 and few places stay empty.

        Panels of long sounds are wider; with several sample rates each has its own frequencies.
        """
        stretch = 1.8 if long else 1.0

        def cost(columns: int) -> float:
            rows = math.ceil(count / columns)
            empty = columns * rows - count
            return abs(math.log(columns * 1.6 * stretch / rows / deep / 1.9)) + 6 * empty / count

        columns = min(range(1, min(count, 8) + 1), key=cost)
        width = _WIDTHS.get(columns, 2.6)
        return cls(
            count,
            columns,
            rows=math.ceil(count / columns),
            width=width * stretch,
            height=width * (0.58 if columns > 1 else 0.5 if deep == 1 else 0.36),
            between=0.5 if rates > 1 else cls.gap,
            deep=deep,
            every=rates > 1,
        )

    @property
    def pitch(self) -> float:
        """Return the distance from one row of places to the next."""
        return self.deep * (self.title + self.height) + self.gap

    @property
    def size(self) -> tuple[float, float]:
        """Return the width and the height of the sheet."""
        across = self.columns * (self.width + self.between) - self.between
        return (
            self.left + across + self.right,
            self.top + self.rows * self.pitch - self.gap + self.bottom,
        )

    @property
    def letters(self) -> int:
        """Return how many letters of a title fit above a panel."""
        return int(self.width * 11)

    def lowest(self, index: int) -> bool:
        """Return whether nothing lies below the place."""
        return index + self.columns >= self.count

    def first(self, index: int) -> bool:
        """Return whether the panels of a place have their frequencies written beside them."""
        return self.every or index % self.columns == 0

    def panel(self, index: int, level: int = 0) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height as fractions of the sheet.

        level: which of the panels of the place, 0 the highest.
        """
        row, column = divmod(index, self.columns)
        width, height = self.size
        left = self.left + column * (self.width + self.between)
        below = height - self.top - row * self.pitch - (level + 1) * (self.title + self.height)
        return left / width, below / height, self.width / width, self.height / height


def _draw_wave(axes: Axes, wave: NDArray[np.float64], sound: Shown) -> None:
    import numpy as np

    nyquist = sound.rate / 2000
    lane = 0.3 * nyquist / len(wave)
    time = np.linspace(*sound.seen, wave.shape[-1]) if wave.shape[-1] > 1 else list(sound.seen)
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


def _draw_spans(axes: Axes, sound: Shown) -> None:
    """Shade what was made anew in the waveform, and bound it by lines in the spectrogram."""
    nyquist = sound.rate / 2000
    for start, stop in sound.spans:
        axes.fill_between(
            [start, stop], 1.02 * nyquist, 1.36 * nyquist, color=_MARK, alpha=0.3, linewidth=0
        )
        for moment in (start, stop):
            axes.plot([moment] * 2, [0, 1.36 * nyquist], color=_MARK, linewidth=0.8, alpha=0.9)


def _dress(axes: Axes, sound: Shown, first: bool, *, time: bool, lowest: bool) -> None:
    nyquist = sound.rate / 2000
    start, stop = sound.view
    stop = max(stop, start + 1 / sound.rate)
    axes.set_ylim(0, 1.36 * nyquist)
    axes.set_xlim(start, stop)
    axes.set_facecolor(_PAPER)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_yticks([0, nyquist / 2, nyquist])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
    moments = ticks(stop, start)
    axes.set_xticks(moments, [f"{moment:g}" for moment in moments])
    for label, moment in zip(axes.get_xticklabels(), moments, strict=True):
        part = (moment - start) / (stop - start)
        if part < 0.03 or part > 0.97:
            label.set_horizontalalignment("right" if part > 0.5 else "left")
    axes.tick_params(
        colors=_FAINT,
        labelsize=7,
        length=2,
        width=0.6,
        pad=2,
        labelleft=first,
        labelbottom=time,
    )
    if first:
        axes.set_ylabel("kHz", color=_FAINT, fontsize=7, labelpad=3, y=0.37)
    if lowest:
        axes.set_xlabel("s", color=_FAINT, fontsize=7, labelpad=1)


def _write(axes: Axes, title: str, note: str, letters: int) -> None:
    title = " ".join(title.split())
    letters -= len(note)
    short = title if len(title) <= letters else title[: letters - 1].rstrip() + "…"
    axes.set_title(note, loc="right", color=_FAINT, fontsize=7, pad=4)
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

"""The sheet of a run: spectrograms and waveforms of its sounds in one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING

import attrs

from kernel_plugins.observers._colours import palette
from kernel_plugins.observers._shown import Drawn, Shown
from kernel_plugins.observers._spectrum import RANGE, ticks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

__all__ = ["Grid", "Panel", "draw", "panels"]

_PAPER, _INK, _FAINT, _WAVE = "#101014", "#ececf1", "#8b8b98", "#b9b9c6"
_MARK = "#5ce1e6"
_DPI = 150
_SMALL, _LARGE = round(7 * _DPI / 72), round(9 * _DPI / 72)
_WIDTHS = {1: 7.0, 2: 5.0, 3: 3.8, 4: 3.1}
"""Width of a panel in inches, by the number of columns; the last also for more columns."""

_PICTURE = 1 / 1.36
"""The spectrogram's share of a panel's height; the waveform is above it."""


@attrs.frozen
class Panel:
    """A sound's place on the sheet, and the text around it.

    box: left, top, right and bottom in pixels. view: left and right edge in seconds; seen: left and
    right edge of the spectrogram in seconds. frequencies: in kHz, from the lower to the upper edge
    of the spectrogram. times: ticks in seconds. labels: `frequencies` and `times`, if they are
    written; unit: whether `s` is written.
    """

    title: str
    note: str
    box: tuple[int, int, int, int]
    view: tuple[float, float]
    seen: tuple[float, float]
    spans: tuple[tuple[float, float], ...]
    frequencies: tuple[float, ...]
    times: tuple[float, ...]
    labels: frozenset[str]
    unit: bool

    @property
    def upper(self) -> int:
        """Return the pixel row of the spectrogram's upper edge."""
        return round(self.box[3] - _PICTURE * (self.box[3] - self.box[1]))

    def column(self, moment: float) -> int:
        """Return the pixel column of a moment in seconds; the nearer edge outside the view."""
        start, stop = self.view
        part = min(max((moment - start) / (stop - start), 0.0), 1.0)
        return round(self.box[0] + part * (self.box[2] - self.box[0]))


def panels(groups: Sequence[tuple[Shown, ...]]) -> tuple[Grid, list[Panel]]:
    """Return the grid of a sheet, and a panel for each sound in order."""
    sounds = [sound for group in groups for sound in group]
    grid = Grid.of(
        len(groups),
        max(map(len, groups)),
        long=any(sound.long for sound in sounds),
        rates=len({sound.rate for sound in sounds}),
    )
    alike = len({tuple(sound.view) for sound in sounds}) == 1
    found = []
    for index, group in enumerate(groups):
        for sound in group:
            below = sound is group[-1]
            lowest = below and grid.lowest(index)
            labels = {"frequencies"} if grid.first(index) else set()
            labels |= {"times"} if lowest or (below and not alike) else set()
            found.append(_panel(sound, grid, index, below, frozenset(labels), lowest))
    return grid, found


def _panel(
    sound: Shown, grid: Grid, index: int, below: bool, labels: frozenset[str], lowest: bool
) -> Panel:
    width, height = grid.pixels
    left, bottom, across, up = grid.panel(index, grid.deep - 1 if below else 0)
    nyquist = sound.rate / 2000
    start, stop = sound.view
    note = f"{start:.4g}\u2013{stop:.4g} s" if sound.excerpt else ""
    title = " ".join(
        f"{sound.title}: given".split() if sound.side == "given" else sound.title.split()
    )
    letters = grid.letters - len(note)
    return Panel(
        title=title if len(title) <= letters else title[: letters - 1].rstrip() + "\u2026",
        note=note,
        box=(
            round(left * width),
            round((1 - bottom - up) * height),
            round((left + across) * width),
            round((1 - bottom) * height),
        ),
        view=(start, max(stop, start + 1 / sound.rate)),
        seen=(sound.seen[0], max(sound.seen[1], start + 1 / sound.rate)),
        spans=sound.spans,
        frequencies=(0, nyquist / 2, nyquist),
        times=tuple(ticks(max(stop, start + 1 / sound.rate), start)),
        labels=labels,
        unit=lowest,
    )


def draw(drawn: Sequence[tuple[Drawn, ...]], loudest: float, more: int) -> bytes:
    """Return a PNG of the items, with a note that it leaves out `more` items.

    All panels share one scale in dB, 0 at the level `loudest`, and one scale of amplitude. A given
    recording is above its result. A long sound with short spans shows the time around the spans.
    """
    from PIL import Image, ImageDraw

    grid, places = panels([tuple(each.shown for each in group) for group in drawn])
    sounds = [each for group in drawn for each in group]
    peak = max(float(abs(each.wave).max()) for each in sounds) or 1.0
    sheet = Image.new("RGB", grid.pixels, _PAPER)
    pen = ImageDraw.Draw(sheet)
    for panel, each in zip(places, sounds, strict=True):
        _picture(sheet, panel, each, loudest)
        _shade(sheet, panel)
        _wave(pen, panel, each.wave / peak)
        _frame(pen, panel)
    _scale(sheet, pen, grid, more)
    buffer = BytesIO()
    sheet.save(buffer, "png", compress_level=1)
    return buffer.getvalue()


@attrs.frozen
class Grid:
    """The places of the panels on a sheet; lengths in inches.

    A place holds `deep` panels, one above the other.
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
    def of(cls, count: int, deep: int = 1, *, long: bool = False, rates: int = 1) -> Grid:
        """Choose the columns so that the sheet is about 16:9 and few places stay empty.

        Panels of long sounds are wider. With several sample rates each panel has its own
        frequencies.
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
    def pixels(self) -> tuple[int, int]:
        """Return the width and the height of the sheet in pixels."""
        width, height = self.size
        return round(width * _DPI), round(height * _DPI)

    @property
    def letters(self) -> int:
        """Return the number of letters that fit above a panel."""
        return int(self.width * 11)

    def lowest(self, index: int) -> bool:
        """Return whether the place is the lowest of its column."""
        return index + self.columns >= self.count

    def first(self, index: int) -> bool:
        """Return whether the panels of a place have their frequencies written beside them."""
        return self.every or index % self.columns == 0

    def panel(self, index: int, level: int = 0) -> tuple[float, float, float, float]:
        """Return left, bottom, width and height as fractions of the sheet.

        level: of the panel in its place, 0 the highest.
        """
        row, column = divmod(index, self.columns)
        width, height = self.size
        left = self.left + column * (self.width + self.between)
        below = height - self.top - row * self.pitch - (level + 1) * (self.title + self.height)
        return left / width, below / height, self.width / width, self.height / height


def _picture(sheet: Image, panel: Panel, drawn: Drawn, loudest: float) -> None:
    from PIL import Image

    left, right = (panel.column(moment) for moment in panel.seen)
    rows, columns = drawn.points.shape
    image = Image.frombytes("P", (columns, rows), drawn.points.tobytes())
    image.putpalette(palette(drawn.shown.loudest, loudest))
    size = max(right - left, 1), panel.box[3] - panel.upper
    sheet.paste(image.convert("RGB").resize(size, Image.Resampling.BILINEAR), (left, panel.upper))


def _shade(sheet: Image, panel: Panel) -> None:
    """Shade the new spans in the waveform, and bound them by lines in the spectrogram."""
    from PIL import Image, ImageDraw

    pen = ImageDraw.Draw(sheet)
    bottom = round(panel.upper - 0.02 * (panel.box[3] - panel.upper))
    for span in panel.spans:
        left, right = (panel.column(moment) for moment in span)
        box = (left, panel.box[1], max(right, left + 1), bottom)
        part = sheet.crop(box)
        sheet.paste(Image.blend(part, Image.new("RGB", part.size, _MARK), 0.3), box)
        for column in (left, right):
            pen.line((column, panel.box[1], column, panel.box[3] - 1), _MARK, 2)


def _wave(pen: ImageDraw, panel: Panel, wave: NDArray[np.float64]) -> None:
    """Draw the outline [C, 2, N] of a sound, from -1 to 1, each channel in its own lane."""
    import numpy as np

    lane = 0.3 * (panel.box[3] - panel.upper) / len(wave)
    left, right = (panel.column(moment) for moment in panel.seen)
    across = np.arange(left, max(right, left + 1))
    place = np.linspace(0, wave.shape[-1] - 1, len(across)).round().astype(int)
    for index, (low, high) in enumerate(wave):
        middle = panel.box[1] + 0.02 * (panel.box[3] - panel.upper) + (index + 0.5) * lane
        upper = np.rint(middle - 0.46 * lane * np.maximum(high, 0.02)[place]).astype(int)
        lower = np.rint(middle - 0.46 * lane * np.minimum(low, -0.02)[place]).astype(int)
        for column, top, bottom in zip(
            across.tolist(), upper.tolist(), lower.tolist(), strict=True
        ):
            pen.line((column, top, column, bottom), _WAVE)


def _frame(pen: ImageDraw, panel: Panel) -> None:
    """Write the title above a panel and the scales beside it."""
    left, top, right, bottom = panel.box
    _write(pen, (left, top - 8), panel.title, "ls", _INK, _LARGE)
    _write(pen, (right, top - 8), panel.note, "rs")
    for frequency in panel.frequencies:
        row = round(bottom - frequency / panel.frequencies[-1] * (bottom - panel.upper))
        pen.line((left - 5, row, left - 1, row), _FAINT)
        if "frequencies" in panel.labels:
            _write(pen, (left - 9, row), f"{frequency:.3g}", "rm")
    if "frequencies" in panel.labels:
        _turned(pen, (left - 46, (bottom + panel.upper) // 2), "kHz")
    start, stop = panel.view
    for moment in panel.times:
        column, part = panel.column(moment), (moment - start) / (stop - start)
        pen.line((column, bottom, column, bottom + 4), _FAINT)
        anchor = "l" if part < 0.03 else "r" if part > 0.97 else "m"
        if "times" in panel.labels:
            _write(pen, (column, bottom + 8), f"{moment:g}", f"{anchor}t")
    if panel.unit:
        _write(pen, ((left + right) // 2, bottom + 28), "s", "mt")


def _scale(sheet: Image, pen: ImageDraw, grid: Grid, more: int) -> None:
    """Draw the scale of colours at the lower right, and the number of items left out."""
    from PIL import Image

    width, height = sheet.size
    right, middle = round(width - grid.right * _DPI), round(height - 0.24 * _DPI)
    left, length = round(right - 1.55 * _DPI), round(1.2 * _DPI)
    ramp = Image.frombytes("P", (256, 1), bytes(range(256)))
    ramp.putpalette(palette())
    sheet.paste(ramp.convert("RGB").resize((length, 10)), (left, middle - 5))
    _write(pen, (left - 9, middle), f"\u2212{RANGE:.0f}", "rm")
    _write(pen, (right, middle), "0 dB", "rm")
    if more > 0:
        _write(pen, (round(grid.left * _DPI), middle), f"and {more} more", "lm")


def _write(
    pen: ImageDraw,
    place: tuple[int, int],
    text: str,
    anchor: str,
    colour: str = _FAINT,
    size: int = _SMALL,
) -> None:
    pen.text(place, text.encode(errors="replace").decode(), colour, _font(size), anchor)


def _turned(pen: ImageDraw, middle: tuple[int, int], text: str) -> None:
    """Write a text upwards."""
    from PIL import Image, ImageDraw

    _, _, width, height = _font(_SMALL).getbbox(text)
    mask = Image.new("L", (math.ceil(width), math.ceil(height)))
    ImageDraw.Draw(mask).text((0, 0), text, 255, _font(_SMALL))
    mask = mask.transpose(Image.Transpose.ROTATE_90)
    pen.bitmap((middle[0] - mask.width // 2, middle[1] - mask.height // 2), mask, _FAINT)


@cache
def _font(size: int) -> FreeTypeFont:
    from PIL import ImageFont

    data = (files(__package__) / "DejaVuSans.ttf").read_bytes()
    return ImageFont.truetype(BytesIO(data), size, layout_engine=ImageFont.Layout.BASIC)

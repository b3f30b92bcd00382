"""The sounds of an item on the page and the sheet: the result and the given recording."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import attrs

from kernel_plugins.observers._colours import indices
from kernel_plugins.observers._spectrum import levels, outline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from kernel import Sound

__all__ = ["Drawn", "Shown", "drawn"]

_LONG = 10.0
"""Seconds; longer views are drawn wider."""


@attrs.frozen
class Shown:
    """One sound of the page without its samples; it fits in a line of JSON.

    side: `given` or `result` for the two of a pair, else empty. file, picture: paths in the run's
    folder. length: of the sound, in seconds; seconds: of the time axis, which a pair shares. part:
    (start, stop) of the file within the sound in seconds; all of it, unless the sound is long.
    view: (start, stop) of the spectrogram in seconds. spans: (start, stop) of the new parts in
    seconds. loudest: level in dB of the picture's byte 255. waves: lowest and highest sample of
    each column, [C][2][N] in thousandths of `peak`. figures: title and file of each further
    picture.
    """

    title: str
    side: str
    file: str
    picture: str
    rate: int
    length: float
    seconds: float
    part: tuple[float, float]
    view: tuple[float, float]
    spans: tuple[tuple[float, float], ...]
    loudest: float
    peak: float
    waves: list[list[list[int]]]
    figures: tuple[tuple[str, str], ...]
    entry: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the title with the side, for screen readers."""
        return f"{self.title}, {self.side}" if self.side else self.title

    @property
    def made(self) -> float:
        """Return the seconds of new sound: those of the spans, or all without spans."""
        return sum(stop - start for start, stop in self.spans) if self.spans else self.length

    @property
    def excerpt(self) -> bool:
        """Return whether the spectrogram shows only a part."""
        return tuple(self.view) != (0.0, self.seconds)

    @property
    def long(self) -> bool:
        """Return whether the spectrogram is drawn wider."""
        return self.view[1] - self.view[0] > _LONG

    @property
    def seen(self) -> tuple[float, float]:
        """Return (start, stop) of the view in seconds, cut at the end of the sound."""
        start, stop = self.view
        return start, max(start, min(stop, self.length))


@attrs.frozen(eq=False)
class Drawn:
    """A sound with its pictures of the view.

    points: the spectrogram as bytes [rows, columns]. wave: the outline, [C, 2, N].
    """

    shown: Shown
    points: NDArray[np.uint8]
    wave: NDArray[np.float64]


def drawn(sound: Sound, entry: Mapping[str, Any]) -> tuple[Drawn, ...]:
    """Return the sound, after the given recording if there is one."""
    title = str(entry.get("label") or sound.name)
    parts = [(sound.audio.numpy(), str(entry["file"]), "result", None, entry)]
    if sound.given is not None:
        kept = entry.get("given_part")
        parts.insert(0, (sound.given.numpy(), str(entry["given"]), "given", kept, {}))
    seconds = max(audio.shape[1] for audio, *_ in parts) / sound.sample_rate
    spans = tuple(
        (max(float(start), 0.0), min(float(stop), seconds))
        for start, stop in sound.spans
        if start < seconds and stop > 0
    )
    result = []
    for audio, file, side, kept, told in parts:
        peak = float(abs(audio).max()) if audio.size else 0.0
        shown = Shown(
            title=title,
            side=side if len(parts) > 1 else "",
            file=file,
            picture=f"pictures/{PurePath(file).stem}.png",
            rate=sound.sample_rate,
            length=audio.shape[1] / sound.sample_rate,
            seconds=seconds,
            part=kept or (0.0, audio.shape[1] / sound.sample_rate),
            view=_view(seconds, spans),
            spans=spans,
            loudest=0.0,
            peak=peak,
            waves=(outline(audio, 320) * (1000 / (peak or 1.0))).round().astype(int).tolist(),
            figures=tuple(_figures(sound, file)) if side == "result" else (),
            entry=told,
        )
        part = slice(*(round(moment * sound.sample_rate) for moment in shown.seen))
        columns = 1120 if shown.long else 560
        points, top = indices(levels(audio, sound.sample_rate, columns=columns, part=part))
        wave = outline(audio[:, part], 480)
        result.append(Drawn(attrs.evolve(shown, loudest=top), points, wave))
    return tuple(result)


def _figures(sound: Sound, file: str) -> Iterator[tuple[str, str]]:
    for number, (title, _) in enumerate(sound.pictures, 1):
        yield title, f"figures/{PurePath(file).stem}-{number}.png"


def _view(seconds: float, spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return (start, stop) of the view: all of the sound, or the spans and their surroundings."""
    if not spans:
        return 0.0, seconds
    first, last = min(start for start, _ in spans), max(stop for _, stop in spans)
    around = max(last - first, 1.0)
    start, stop = max(first - around, 0.0), min(last + around, seconds)
    return (start, stop) if 3 * (stop - start) <= seconds else (0.0, seconds)

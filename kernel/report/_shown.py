"""What the pictures and the page show of each item: the sound, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from kernel.report.spectrum import levels, outline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Shown", "shown"]

_LONG = 10.0
"""Seconds; a view of more is drawn wider."""


@attrs.frozen(eq=False)
class Shown:
    """One sound to look at and to listen to.

    audio: [C, L]. side: `given` or `result` for the two of a pair, else empty. spans: (start, stop)
    in seconds of what was made anew. seconds: the length of the longer of a pair, which both are
    drawn on. view: (start, stop) in seconds of what the spectrogram shows.
    """

    title: str
    side: str
    file: str
    audio: NDArray[np.floating]
    rate: int
    seconds: float
    view: tuple[float, float]
    spans: tuple[tuple[float, float], ...]
    entry: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return the title with the side, for those who cannot see where it stands."""
        return f"{self.title}, {self.side}" if self.side else self.title

    @property
    def length(self) -> float:
        """Return how many seconds the sound lasts."""
        samples: int = self.audio.shape[1]
        return samples / self.rate

    @property
    def excerpt(self) -> bool:
        """Return whether the spectrogram shows a part only."""
        return self.view != (0.0, self.seconds)

    @property
    def long(self) -> bool:
        """Return whether the spectrogram needs more width than most."""
        return self.view[1] - self.view[0] > _LONG

    @property
    def seen(self) -> tuple[float, float]:
        """Return (start, stop) in seconds of the view as far as there is sound."""
        start, stop = self.view
        return start, max(start, min(stop, self.length))

    @property
    def part(self) -> slice:
        """Return the samples of the view."""
        start, stop = (round(moment * self.rate) for moment in self.seen)
        return slice(start, stop)

    def levels(self) -> NDArray[np.float64]:
        """Return the spectrogram of the view; [rows, columns] in dB."""
        return levels(self.audio, self.rate, columns=1120 if self.long else 560, part=self.part)

    def outline(self, columns: int) -> NDArray[np.float64]:
        """Return the waveform of the view; [C, 2, N], N <= columns."""
        return outline(self.audio[:, self.part], columns)


def shown(
    record: Mapping[str, Any],
    items: Sequence[NDArray[np.floating]],
    given: Sequence[NDArray[np.floating] | None],
) -> list[tuple[Shown, ...]]:
    """Return what to show of each item: one sound, or the recording it was made from and it."""
    groups = []
    for index, audio in enumerate(items):
        entry = _entry(record, index)
        before = given[index] if index < len(given) else None
        rate = int(entry.get("sample_rate") or record["sampling"]["sample_rate"])
        title, file = entry["title"], entry["file"]
        parts = [(audio, file, "result", entry)]
        if before is not None:
            parts.insert(0, (before, str(entry.get("given") or f"given-{file}"), "given", {}))
        seconds = max(sound.shape[1] for sound, *_ in parts) / rate
        spans = tuple(
            (max(float(start), 0.0), min(float(stop), seconds))
            for start, stop in entry.get("spans") or ()
            if start < seconds and stop > 0
        )
        groups.append(
            tuple(
                Shown(
                    title=title,
                    side=side if before is not None else "",
                    file=name,
                    audio=sound,
                    rate=rate,
                    seconds=seconds,
                    view=_view(seconds, spans),
                    spans=spans,
                    entry=told,
                )
                for sound, name, side, told in parts
            )
        )
    return groups


def _entry(record: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return what the record says of an item, with a title and a file in any case."""
    entries = record.get("items", ())
    entry = dict(entries[index]) if index < len(entries) else {}
    name = str(entry.get("name") or f"{index:04d}")
    return entry | {
        "title": str(entry.get("label") or name),
        "file": str(entry.get("file") or f"{name}.wav"),
    }


def _view(seconds: float, spans: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return all of a sound, or of a long one what was made anew with as much on either side."""
    if not spans:
        return 0.0, seconds
    first, last = min(start for start, _ in spans), max(stop for _, stop in spans)
    around = max(last - first, 1.0)
    start, stop = max(first - around, 0.0), min(last + around, seconds)
    return (start, stop) if 3 * (stop - start) <= seconds else (0.0, seconds)

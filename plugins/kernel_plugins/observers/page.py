"""`page`: a run or a training as a page to look at and listen to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr

from kernel import Observer, OutputError, hookimpl

if TYPE_CHECKING:
    from kernel import Sound
    from kernel_plugins.observers._album import Album
    from kernel_plugins.observers._timeline import Timeline

__all__ = ["Page"]


class Page(Observer):
    """Write `index.html` and `spectrograms.png` into the folder of a run.

    The page plays every sound beside its spectrogram, all on one scale, and shows how the run made
    them. The page of a small run holds its sounds and pictures: the single file can be sent. The
    page of a large run refers to the files beside it and loads pictures in view and sounds in play.
    Memory holds one sound at a time, and the pictures of the sheet.

    In the folder of a training that makes samples (`sample_every`), `index.html` shows them step
    below step, with the curves of the losses. Every new step of samples updates the page.
    """

    embed: float = Field(
        20.0, ge=0, description="largest MB of sounds and pictures that the page itself holds"
    )
    sheet: int = Field(
        64, ge=0, description="largest number of spectrograms on the sheet; 0: no sheet"
    )

    _album: Album | None = PrivateAttr(None)
    _timeline: Timeline | None = PrivateAttr(None)

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Forget the run or the training before."""
        from kernel_plugins.observers._album import Album
        from kernel_plugins.observers._timeline import Timeline

        self._album, self._timeline = Album(directory, self.sheet), Timeline(directory)

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        """Write the pictures of a sound. Raises OutputError where they cannot be written."""
        # Only the sounds of a training are of a step.
        place = self._timeline if "step" in entry else self._album
        if place is None:
            return
        try:
            place.add(sound, entry)
        except OSError as error:
            raise _unwritable(error) from error

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Show the samples that a training has made since the step before."""
        if self._timeline is not None:
            self._shown(self._timeline)

    def _shown(self, timeline: Timeline) -> Path | None:
        """Write the page of a training. Raises OutputError where it cannot be written."""
        try:
            return timeline.write()
        except OSError as error:
            raise _unwritable(error) from error

    def finished(self, directory: Path) -> str | None:
        """Write the sheet and the page, and return a sentence that says how to open it.

        Raises OutputError if they cannot be written.
        """
        album, self._album = self._album, None
        timeline, self._timeline = self._timeline, None
        if timeline is not None and (shown := self._shown(timeline)):
            return f"open {shown} to listen to the samples"
        if album is None or not (directory / "run.json").is_file():
            return None
        record = json.loads((directory / "run.json").read_text("utf-8"))
        try:
            return f"open {album.write(directory, record, 1e6 * self.embed)} to listen"
        except OSError as error:
            raise _unwritable(error) from error


def _unwritable(error: OSError) -> OutputError:
    return OutputError(
        f"observer.page cannot write {error.filename}: {error.strerror}; make room for it, or "
        f"leave it out with --without observer.page"
    )


@hookimpl
def observer() -> type[Observer]:
    """Offer `page`."""
    return Page

"""`page`: a web page of a run's sounds, with a sheet of their spectrograms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr

from kernel import Observer, OutputError, hookimpl

if TYPE_CHECKING:
    from kernel import Sound
    from kernel_plugins.observers._album import Album

__all__ = ["Page"]


class Page(Observer):
    """Write `index.html` and `spectrograms.png` into the folder of a run; nothing for a training.

    The page plays every sound beside its spectrogram, all on one scale, and shows how the run made
    them. The page of a small run holds its sounds and pictures: the single file can be sent. The
    page of a large run refers to the files beside it and loads pictures in view and sounds in play.
    Memory holds one sound at a time, and the pictures of the sheet.
    """

    embed: float = Field(
        20.0, ge=0, description="largest MB of sounds and pictures that the page itself holds"
    )
    sheet: int = Field(
        64, ge=0, description="largest number of spectrograms on the sheet; 0: no sheet"
    )

    _album: Album | None = PrivateAttr(None)

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Start a new album."""
        from kernel_plugins.observers._album import Album

        self._album = Album(directory, self.sheet)

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        """Write the pictures of a sound. Raises OutputError if they cannot be written."""
        if self._album is None:
            return
        try:
            self._album.add(sound, entry)
        except OSError as error:
            raise _unwritable(error) from error

    def finished(self, directory: Path) -> str | None:
        """Write the sheet and the page, and return a sentence that says how to open it.

        Raises OutputError if they cannot be written.
        """
        album, self._album = self._album, None
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

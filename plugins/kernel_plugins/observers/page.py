"""`page`: a run as a page to look at and listen to, with a sheet of its spectrograms."""

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

    The page plays every sound beside its spectrogram, on one scale for all, and says how they were
    made. The page of a small run holds its sounds and pictures, so that it can be sent as it is;
    that of a large one refers to the files beside it, loads the pictures that are looked at and the
    sounds that are played. One sound at a time is in memory, and the pictures of the sheet.
    """

    embed: float = Field(
        20.0, ge=0, description="MB of sounds and pictures that the page itself holds at most"
    )
    sheet: int = Field(64, ge=0, description="spectrograms at most on the sheet; 0 for no sheet")

    _album: Album | None = PrivateAttr(None)

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Forget the run before."""
        from kernel_plugins.observers._album import Album

        self._album = Album(directory, self.sheet)

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        """Write the pictures of a sound. Raises OutputError where they cannot be written."""
        if self._album is None:
            return
        try:
            self._album.add(sound, entry)
        except OSError as error:
            raise _unwritable(error) from error

    def finished(self, directory: Path) -> str | None:
        """Write the sheet and the page, and say how to open it.

        Raises OutputError where they cannot be written.
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

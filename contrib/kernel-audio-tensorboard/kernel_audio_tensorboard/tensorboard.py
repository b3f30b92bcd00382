"""`tensorboard`: runs and trainings as event files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, PrivateAttr

from kernel import Observer, OutputError, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kernel import Sound

__all__ = ["TensorBoard"]

PLACES = {"name", "out"}
"""Settings that say where a run goes, not what it is."""


class TensorBoard(Observer):
    """Write scalars, settings, scores and sounds for `tensorboard --logdir`.

    A training's curves can be watched while it lasts, and go on where they were when it is
    resumed. The folder of a run is renamed when the run ends, so every event file is closed again
    after each event: it moves along, is whole at any moment, and a run that fails leaves none.
    """

    every: int = Field(1, ge=1, description="steps from one written value to the next")
    folder: Path | None = Field(
        None,
        description="where to write, into a folder with the run's name; `tensorboard` inside the "
        "run's folder when absent",
    )
    sounds: int = Field(10, ge=0, description="how many of a run's sounds to add, the first ones")

    _run: str = PrivateAttr("")
    _file: Path | None = PrivateAttr(None)
    _last: int | None = PrivateAttr(None)
    _directory: Path = PrivateAttr(Path())
    _heard: int = PrivateAttr(0)
    _of: int | None = PrivateAttr(None)

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Begin a file with the record and the settings. Raises OutputError for a bad folder."""
        from kernel_audio_tensorboard import _events as events

        self._run = record.get("name", directory.name)
        self._last, self._directory, self._heard, self._of = None, directory, 0, None
        place = self._place(directory)
        self._file = place / events.file_name()
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error
        said = json.dumps(record, indent=2, ensure_ascii=False)
        self._write(
            events.beginning(),
            events.text("record", f"```json\n{said}\n```"),
            events.hparams(dict(_settings(record))),
        )

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Add a point to each curve, when it is due."""
        from kernel_audio_tensorboard import _events as events

        if self._last is None:
            self._write(events.restart(index))
        elif index < min(self._last + self.every, total):
            return
        self._write(events.scalars(index, scalars))
        self._last = index

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        """Add a sound at its own rate, unless there are enough."""
        from kernel_audio_tensorboard import _events as events

        # The samples of a training are of a step, and each time has its first ones.
        of = entry.get("step")
        self._heard = self._heard + 1 if of == self._of else 1
        self._of = of
        if self._heard > self.sounds:
            return
        wav = (self._directory / entry["file"]).read_bytes()
        self._write(
            events.audio(of or self._last or 0, f"sounds/{sound.name}", wav, sound.sample_rate)
        )

    def finished(self, directory: Path) -> None:
        """Add the scores that the folder of a run holds."""
        from kernel_audio_tensorboard import _events as events

        if self._file is None:
            return
        self._file = self._place(directory) / self._file.name
        manifest = directory / "run.json"
        if manifest.is_file():
            scores = json.loads(manifest.read_text("utf-8"))["scores"]
            known = {f"scores/{row['name']}": row["value"] for row in scores}
            known = {name: value for name, value in known.items() if value is not None}
            if known:
                self._write(events.scalars(self._last or 0, known))
        self._write(events.ending())

    def _place(self, directory: Path) -> Path:
        return directory / "tensorboard" if self.folder is None else self.folder / self._run

    def _write(self, *new: Any) -> None:
        from kernel_audio_tensorboard import _events as events

        if self._file is None:
            return
        try:
            events.write(self._file, *new)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(
            f"observer.tensorboard cannot write {error.filename or self._file}: {error.strerror}; "
            f"choose another observer.tensorboard.folder"
        )


def _settings(record: Mapping[str, Any]) -> Iterator[tuple[str, bool | float | str]]:
    """Yield the settings, the names of the components and their options, if they are scalars."""
    for name, value in record["config"].items():
        if isinstance(value, bool | int | float | str) and name not in PLACES:
            yield name, value
    if "model" in record:
        yield "model", record["model"]["name"]
    names: dict[str, list[str]] = {}
    for plugin in record["plugins"]:
        kind, name = plugin["kind"], plugin["name"]
        if kind == "observer":
            continue
        names.setdefault(kind, []).append(name)
        for option, value in plugin["options"].items():
            if isinstance(value, bool | int | float | str):
                yield f"{kind}.{name}.{option}", value
    for kind, chosen in names.items():
        yield kind, ",".join(chosen)


@hookimpl
def observer() -> type[Observer]:
    """Return TensorBoard."""
    return TensorBoard

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
"""Settings that name places and do not describe the run."""


class TensorBoard(Observer):
    """Write scalars, settings, scores and sounds for `tensorboard --logdir`.

    A training's curves grow while it runs, and continue when it is resumed. Every event file is
    closed after each event: it is whole at any moment, and it moves with the folder of a run, which
    is renamed at the end. A failed run leaves no file.
    """

    every: int = Field(1, ge=1, description="steps from one written value to the next")
    folder: Path | None = Field(
        None,
        description="folder for one folder a run, by its name; default: `tensorboard` inside the "
        "run's folder",
    )
    sounds: int = Field(10, ge=0, description="number of a run's first sounds to add")

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
        """Add a point to each curve at every `every` steps."""
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

        # A training makes samples at several steps; each of these steps shows its first sounds.
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
        """Add the scores in a run's folder."""
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
    """Yield the scalar settings, the names of the components and their scalar options."""
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

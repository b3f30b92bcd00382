"""`mlflow`: runs and trainings in MLflow."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel_audio_tracking import Buffer, scores
from pydantic import Field, PrivateAttr

from kernel import Observer, OutputError, hookimpl

if TYPE_CHECKING:
    from kernel import Sound
    from kernel_audio_mlflow._session import Session

__all__ = ["MLflow"]


class MLflow(Observer):
    """Write scalars, settings, scores and sounds into an MLflow store.

    The store is a SQLite file in the run's folder, or the server or the file of `uri`.

    A training is written at each of its checkpoints. MLflow then shows what the checkpoint holds,
    and a resumed training goes on with the same MLflow run: no point is there twice. A run that
    makes sounds is written when it has finished. A failed one leaves nothing.
    """

    uri: str | None = Field(
        None,
        description="tracking URI, such as http://localhost:5000 or sqlite:///all.db; "
        "default: `mlflow/mlflow.db` in the run's folder",
    )
    experiment: str = Field("kernel-audio", min_length=1, description="MLflow experiment")
    name: str | None = Field(None, description="name of the run; default: that of its folder")
    tags: dict[str, str] = Field({}, description="MLflow tags of the run")
    every: int = Field(1, ge=1, description="steps from one written value to the next")
    sounds: int = Field(10, ge=0, description="number of a run's first sounds to add")

    _buffer: Buffer = PrivateAttr()
    _session: Session | None = PrivateAttr(None)
    _record: dict[str, Any] = PrivateAttr()

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Begin or go on with a training. Raises OutputError when the store cannot be opened."""
        self._session, self._record, last = None, record, 0
        # The folder of a training stays; that of a run is renamed before the run has finished.
        if "name" not in record:
            last = self._open(directory).last
        self._buffer = Buffer(self.every, self.sounds, last)

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Keep the values of a step until the next checkpoint."""
        self._buffer.step(index, total, scalars)

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        """Keep the name of a sound's file, unless there are enough."""
        self._buffer.sound(sound.name, entry)

    def checkpoint(self, path: Path) -> None:
        """Write what a training did up to its checkpoint; what fails waits for the next one."""
        if self._session:
            try:
                self._session.write(self._buffer)
                self._session.keep(self._buffer.last)
            except OutputError as error:
                what = str(error).rpartition(";")[0]
                warnings.warn(f"{what}; the next checkpoint tries again", stacklevel=2)

    def finished(self, directory: Path) -> str:
        """Write everything, end the MLflow run, and say how to see it. Raises OutputError."""
        session = self._session or self._open(directory)
        self._session = None
        session.write(self._buffer, scores(directory))
        return session.close()

    def _open(self, directory: Path) -> Session:
        from kernel_audio_mlflow._session import Session

        self._session = Session(
            directory,
            self._record,
            uri=self.uri,
            experiment=self.experiment,
            name=self.name or self._record.get("name", directory.name),
            tags=self.tags,
        )
        return self._session


@hookimpl
def observer() -> type[Observer]:
    """Return MLflow."""
    return MLflow

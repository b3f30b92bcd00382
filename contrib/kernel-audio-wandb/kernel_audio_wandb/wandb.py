"""`wandb`: runs and trainings in Weights & Biases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kernel_audio_tracking import Buffer, scores, settings
from pydantic import Field, PrivateAttr

from kernel import Observer, hookimpl

if TYPE_CHECKING:
    from kernel import Sound
    from kernel_audio_wandb._session import Session

__all__ = ["WandB"]


class WandB(Observer):
    """Write scalars, settings, scores and sounds for Weights & Biases.

    Nothing leaves the machine: the run's folder takes what `wandb sync` uploads later.
    `mode=online` uploads at once.

    A training is written at each of its checkpoints. W&B then shows what the checkpoint holds, and
    a resumed training goes on with the same W&B run: no point is there twice. A run that makes
    sounds is written when it has finished. A failed one leaves nothing.
    """

    mode: Literal["offline", "online"] = Field(
        "offline", description="`online` uploads to the W&B server of your login"
    )
    project: str = Field("kernel-audio", min_length=1, description="W&B project")
    entity: str | None = Field(None, description="W&B team or user; default: that of your login")
    name: str | None = Field(None, description="name of the run; default: that of its folder")
    tags: tuple[str, ...] = Field((), description="W&B tags of the run")
    every: int = Field(1, ge=1, description="steps from one written value to the next")
    sounds: int = Field(10, ge=0, description="number of a run's first sounds to add")

    _buffer: Buffer = PrivateAttr()
    _session: Session | None = PrivateAttr(None)
    _record: dict[str, Any] = PrivateAttr()

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Begin or go on with a training. Raises OutputError when W&B cannot start."""
        self._session, last = None, 0
        self._record = {"name": record.get("name", directory.name), "settings": settings(record)}
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
        """Write what a training did up to its checkpoint. Raises OutputError."""
        if self._session:
            self._session.write(self._buffer)
            self._session.keep(self._buffer.last)

    def finished(self, directory: Path) -> str | None:
        """Write everything, end the W&B run, and say how to upload it. Raises OutputError."""
        session = self._session or self._open(directory)
        self._session = None
        session.write(self._buffer, scores(directory))
        return session.close()

    def _open(self, directory: Path) -> Session:
        from kernel_audio_wandb._session import Session

        self._session = Session(
            directory,
            self._record["settings"],
            mode=self.mode,
            project=self.project,
            entity=self.entity,
            name=self.name or self._record["name"],
            tags=self.tags,
        )
        return self._session


@hookimpl
def observer() -> type[Observer]:
    """Return WandB."""
    return WandB

"""Observers: they watch a run or a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kernel.kinds._component import Component

if TYPE_CHECKING:
    from kernel.values import Sound


class Observer(Component):
    """Watches a run or a training and changes nothing."""

    kind: ClassVar[str] = "observer"
    accumulates: ClassVar[bool] = True
    added: ClassVar[bool] = True

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Note that a run or a training begins; `record` is what its manifest will say."""

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Note that a training step or a sampling step was finished.

        index: how many there were. total: how many there will be; in a run those of the windows
        known by then, with one for each request not begun, so that it may grow. In a run `scalars`
        has the number of requests that are `done`.
        """

    def sound(self, sound: Sound, entry: dict[str, Any]) -> None:
        """Note that a sound was finished, whose file is in the folder that `started` named.

        entry: what `run.json` will say of it: its files, its scores. The samples that a training
        makes have a `step` as well, which names those of one moment. Runs of any number of sounds
        take the same memory, so an observer keeps none of them.
        """

    def checkpoint(self, path: Path) -> None:
        """Note that a checkpoint was written."""

    def finished(self, directory: Path) -> str | None:
        """Note that everything was written; `directory` has the manifest and any sounds.

        What is returned ends the command's last line: how to look at what the observer wrote, such
        as `open runs/a/index.html to listen`. None says nothing.
        """

"""`unconditional`: sounds like those in a folder, without a condition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kernel import Dataset, Request, Task, Window, hookimpl
from kernel_plugins.tasks._folder import FolderTask, check_requests, numbered


class Unconditional(FolderTask):
    """Learn the sounds in a folder and make more of them."""

    def dataset(self, split: str) -> Dataset:
        """Return the split `train` or `valid`. Raises InputError with every bad file's name."""
        return self.read(self.source(), split)

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        """Return `count` requests named 00, 01, ...

        Raises UsageError when `inputs` is not empty or `count` < 1.
        """
        check_requests("unconditional", inputs, count)
        return [Request(numbered(index, count), Window(self.samples)) for index in range(count)]


@hookimpl
def task() -> type[Task]:
    """Offer `unconditional`."""
    return Unconditional

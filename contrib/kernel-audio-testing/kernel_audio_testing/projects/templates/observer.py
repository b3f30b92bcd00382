"""`mine`: what watches a run or a training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr

from kernel import Observer, hookimpl


class Mine(Observer):
    """Append the scalars of each step to a table `steps.csv` in the folder of a run or a training.

    A row is step, total, name, value. To make it your own, override any of `started`, `step`,
    `checkpoint` and `finished`. A run's folder is renamed when it is finished: write to the one
    that `started` names, and only there.
    """

    every: int = Field(1, ge=1, description="steps between two rows of the same name")

    _table: Path = PrivateAttr(default=Path())

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Begin the table, or go on with that of a training that is resumed."""
        self._table = directory / "steps.csv"
        if not self._table.exists():
            self._append(["step", "total", "name", "value"])

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Append a row for each scalar, sorted by name."""
        if index % self.every == 0 or index == total:
            self._append(*([index, total, name, scalars[name]] for name in sorted(scalars)))

    def _append(self, *rows: list[Any]) -> None:
        with self._table.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)


@hookimpl
def observer() -> type[Observer]:
    """Offer `mine`."""
    return Mine

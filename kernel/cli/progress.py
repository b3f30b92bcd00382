"""The progress of a command: a bar, or lines where there is no terminal; an observer."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kernel.kinds.observer import Observer

EVERY = 15.0
"""Seconds between two lines, at least."""


class Bar(Observer):
    """Draws one bar on the standard error; a line every 15 seconds where that is no terminal."""

    what: str = "steps"

    _progress: Any = PrivateAttr(None)
    _task: Any = PrivateAttr(None)
    _told: float = PrivateAttr(0.0)

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Show an empty bar."""
        console = Console(stderr=True, highlight=False)
        for said in record.get("data", ()):
            console.print(f"data: {said}", markup=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn(self.what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[scalars]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            speed_estimate_period=300,
        )
        self._task = self._progress.add_task("", total=None, scalars="", rate="")
        self._progress.start()
        self._told = time.monotonic()

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Move the bar, or write a line when one is due."""
        shown = {n: f"{v:.3g}" if isinstance(v, float) else str(v) for n, v in scalars.items()}
        # The losses of single bands would hide the others.
        words = (f"{name} {value}" for name, value in shown.items() if name.count(".") < 2)
        text = "  ".join(words)
        (task,) = self._progress.tasks
        self._progress.update(self._task, completed=index, total=total, scalars=text)
        rate = f"{task.speed:.3g} steps/s" if task.speed else ""
        self._progress.update(self._task, rate=rate)
        now = time.monotonic()
        if self._progress.disable and now - self._told >= EVERY:
            self._told = now
            left = f"{timedelta(seconds=task.time_remaining)} left" if task.time_remaining else ""
            parts = (f"{self.what} {index}/{total}", left, rate, text)
            print("  ".join(filter(None, parts)), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Take the bar away, whatever happened."""
        if self._progress is not None:
            self._progress.stop()

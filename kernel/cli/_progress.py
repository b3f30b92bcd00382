"""The progress bar: an observer like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import PrivateAttr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kernel.kinds.observer import Observer


class Bar(Observer):
    """Draws one bar on the standard error; silent where that is not a terminal."""

    what: str = "steps"

    _progress: Any = PrivateAttr(None)
    _task: Any = PrivateAttr(None)

    def started(self, directory: Path, record: dict[str, Any]) -> None:
        """Show an empty bar."""
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(self.what),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[scalars]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, scalars="")
        self._progress.start()

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Move the bar."""
        shown = {n: f"{v:.3g}" if isinstance(v, float) else str(v) for n, v in scalars.items()}
        text = "  ".join(f"{name} {value}" for name, value in shown.items())
        self._progress.update(self._task, completed=index, total=total, scalars=text)

    def close(self) -> None:
        """Take the bar away, whatever happened."""
        if self._progress is not None:
            self._progress.stop()

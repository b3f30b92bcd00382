"""What observers for trackers of experiments share.

Points wait here for a checkpoint; a record's settings and a run's scores become flat names.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ROWS", "Buffer", "scores", "settings"]

ROWS = 10_000
"""Points that wait at most. When there are more, every second one is dropped."""

PLACES = {"name", "out"}
"""Settings that name places and do not describe the run."""


class Buffer:
    """Holds points and the names of the first sounds until they are written.

    rows: (step, seconds since the epoch, values). heard: (step, name, file in the run's folder).
    last: the last step that was taken; at first the last one that was written before a resume.
    """

    def __init__(self, every: int, sounds: int, last: int = 0) -> None:
        self.rows: list[tuple[int, float, dict[str, float]]] = []
        self.heard: list[tuple[int, str, str]] = []
        self.last = last
        self._every, self._sounds = every, sounds
        self._next, self._of, self._count = last + 1, -1, 0

    def step(self, index: int, total: int, values: Mapping[str, float]) -> None:
        """Take a step at every `every` steps and the last one; none that was written before."""
        if index < min(self._next, total) or index <= self.last:
            return
        self.last, self._next = index, index + self._every
        self.rows.append((index, time.time(), dict(values)))
        if len(self.rows) > ROWS:
            del self.rows[1::2]
            self._every *= 2

    def sound(self, name: str, entry: Mapping[str, Any]) -> None:
        """Take the first sounds of a run, or of each step at which a training makes samples."""
        of = entry.get("step", 0)
        self._count = self._count + 1 if of == self._of else 1
        self._of = of
        if self._count <= self._sounds:
            self.heard.append((of or self.last, name, entry["file"]))

    def clear(self) -> None:
        """Forget what was written."""
        self.rows.clear()
        self.heard.clear()


def settings(record: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """Return the scalar settings, the components by kind, and their scalar options."""
    found = {name: value for name, value in record["config"].items() if name not in PLACES}
    if "model" in record:
        found["model"] = record["model"]["name"]
    kinds: dict[str, list[str]] = {}
    for part in record["plugins"]:
        if part["kind"] != "observer":
            prefix = f"{part['kind']}.{part['name']}"
            kinds.setdefault(part["kind"], []).append(part["name"])
            found |= {f"{prefix}.{name}": value for name, value in part["options"].items()}
    found |= {kind: ",".join(names) for kind, names in kinds.items()}
    return {
        name: value for name, value in found.items() if isinstance(value, bool | float | int | str)
    }


def scores(folder: Path) -> dict[str, float]:
    """Return the scores of a run; a training has none."""
    manifest = folder / "run.json"
    rows = json.loads(manifest.read_text("utf-8"))["scores"] if manifest.is_file() else []
    return {f"scores/{row['name']}": row["value"] for row in rows if row["value"] is not None}

"""Evaluations against distance, a plot for each group of cells, as the numbers of an SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plots"]

WIDE, HIGH = 460, 330
LEFT, RIGHT, TOP, BOTTOM = 54, 14, 14, 46
SHAPES = 8
"""The colours of the style sheet."""


def plots(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a plot for each group of cells with distances, all on one logarithmic scale.

    A plot: title, points [{x, y, colour, best, text, number}], line (the front, a polyline), ticks
    across and up [(place, text)], legend [(text, colour)], and its size.
    """
    cells = [cell for cell in record["cells"] if cell["distance"] and cell["distance"]["value"] > 0]
    if not cells:
        return []
    names = [axis["name"] for axis in record["axes"]]
    kind = next((name for name in ("solver", "schedule", *names) if name in names), names[0])
    shown = list(dict.fromkeys(str(cell["values"][kind]) for cell in cells))
    across = _scale([cell["nfe"] for cell in cells], LEFT, WIDE - RIGHT)
    up = _scale([cell["distance"]["value"] for cell in cells], HIGH - BOTTOM, TOP)
    made = []
    for group in record["groups"]:
        members = [cell for cell in cells if cell["group"] == group["number"]]
        if not members:
            continue
        points = [
            {
                "x": round(across.place(cell["nfe"]), 1),
                "y": round(up.place(cell["distance"]["value"]), 1),
                "colour": shown.index(str(cell["values"][kind])) % SHAPES,
                "best": bool(cell["pareto"]),
                "number": cell["number"],
                "text": f"{', '.join(map(str, cell['values'].values()))}: NFE {cell['nfe']}, "
                f"{cell['distance']['value']:.3g} dB",
            }
            for cell in members
        ]
        front = sorted((point["x"], point["y"]) for point in points if point["best"])
        floor = (group["converged"] or {}).get("within") or 0.0
        made.append(
            {
                "title": ", ".join(f"{key} = {value}" for key, value in group["values"].items()),
                "points": points,
                "line": " ".join(f"{x},{y}" for x, y in front),
                # One below every point is out of the picture.
                "floor": round(max(up.place(floor), TOP), 1) if floor > up.low else None,
                "across": across.ticks,
                "up": up.ticks,
                "legend": [(text, index % SHAPES) for index, text in enumerate(shown)],
                "wide": WIDE,
                "high": HIGH,
                "box": (LEFT, TOP, WIDE - RIGHT, HIGH - BOTTOM),
            }
        )
    return made


class _Scale:
    """A logarithmic scale from `low` at `first` to `high` at `last`, and its ticks."""

    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.low, self._high, self._first, self._last = low, high, first, last
        self.ticks = [(round(self.place(value), 1), f"{value:g}") for value in _round(low, high)]

    def place(self, value: float) -> float:
        """Return the place of a positive number."""
        part = math.log(value / self.low) / math.log(self._high / self.low)
        return self._first + part * (self._last - self._first)


def _scale(values: Sequence[float], first: float, last: float) -> _Scale:
    return _Scale(min(values) / 1.25, max(values) * 1.25, first, last)


def _round(low: float, high: float) -> list[float]:
    """Return round numbers in a range, at most seven: 1, 2, 5, 10, ... or every tenfold."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for steps in ((1, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [
            step * 10.0**power
            for power in range(first, last + 1)
            for step in steps
            if low <= step * 10.0**power <= high
        ]
        if len(found) <= 7:
            return found
    return found[:: math.ceil(len(found) / 7)]

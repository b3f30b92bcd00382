"""A comparison as CSV and as a table for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from kernel.cli.table import table

__all__ = ["as_csv", "measured", "number", "tabulated", "within"]

WIDTH = 80


def _columns(record: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the names of the columns and a value of each cell for each, for programs."""
    axes = [axis["name"] for axis in record["axes"]]
    plain = ["steps", "nfe", "network_items", "gradients", "seconds", "audio_seconds"]
    plain += ["real_time_factor", "count", "stochastic", "pareto"]
    scores = list(dict.fromkeys(s["name"] for cell in record["cells"] for s in cell["scores"]))
    head = ["number", *axes, "status", "sentence", "folder", *plain]
    head += ["distance_db", "distance_db.low", "distance_db.high"]
    head += [f"{name}{end}" for name in scores for end in ("", ".low", ".high")]
    rows = []
    for cell in record["cells"]:
        row = {key: cell.get(key) for key in ("number", "status", "sentence", "folder", *plain)}
        measured = {"distance_db": cell["distance"] or {}}
        measured |= {score["name"]: score for score in cell["scores"]}
        for name, found in measured.items():
            row |= {name: found.get("value")}
            row |= {f"{name}.{end}": found.get(end) for end in ("low", "high")}
        rows.append(row | cell["values"])
    return head, rows


def as_csv(record: Mapping[str, Any]) -> str:
    """Return the cells as CSV, a row each."""
    head, rows = _columns(record)
    text = io.StringIO()
    writer = csv.DictWriter(text, head, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def tabulated(record: Mapping[str, Any]) -> str:
    """Return a table of the cells that fits a terminal, with what did not fit named below."""
    axes = [axis["name"] for axis in record["axes"]]
    columns: list[tuple[str, list[str]]] = []
    cells = record["cells"]
    for name in axes:
        columns.append((name.rpartition(".")[2], [str(cell["values"][name]) for cell in cells]))
    columns.append(("NFE", [number(cell.get("nfe")) for cell in cells]))
    if any(cell["distance"] for cell in cells):
        texts = [measured(cell["distance"], within(record, cell)) for cell in cells]
        front = ["*" if cell["pareto"] else "" for cell in cells]
        columns.append(("distance dB", [f"{a} {b}" for a, b in zip(texts, front, strict=True)]))
    columns.append(("seconds", [number(cell.get("seconds")) for cell in cells]))
    columns.append(("s/s", [number(cell.get("real_time_factor")) for cell in cells]))
    names = dict.fromkeys(score["name"] for cell in cells for score in cell["scores"])
    for name in names:
        found = [{score["name"]: score for score in cell["scores"]} for cell in cells]
        columns.append((name, [measured(each.get(name)) for each in found]))
    shown, left = _fitting(columns, len(axes) + 1)
    rows = [list(row) for row in zip(*(texts for _, texts in shown), strict=True)]
    lines = [table([name for name, _ in shown], rows)]
    if left:
        lines.append(f"in comparison.csv as well: {', '.join(left)}")
    if any(cell["pareto"] for cell in cells):
        lines.append("* no other is nearer to the converged sounds with as few evaluations")
    lines += [f"{cell['name']}: {cell['sentence']}" for cell in cells if cell["sentence"]]
    return "\n".join(lines)


def _fitting(
    columns: Sequence[tuple[str, list[str]]], kept: int
) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Return the columns that fit, the first `kept` in any case, and the names of the others."""
    shown: list[tuple[str, list[str]]] = []
    left: list[str] = []
    room = WIDTH
    for index, (name, texts) in enumerate(columns):
        room -= max(map(len, (name, *texts))) + 2
        if room < -2 and index >= kept:
            left.append(name)
        else:
            shown.append((name, texts))
    return shown, left


def within(record: Mapping[str, Any], cell: Mapping[str, Any]) -> float:
    """Return the distance in dB below which those of a cell's group say nothing."""
    (group,) = (each for each in record["groups"] if each["number"] == cell["group"])
    return float((group["converged"] or {}).get("within", 0.0))


def number(value: float | None) -> str:
    """Return a number in three digits, and nothing for none."""
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def measured(found: Mapping[str, Any] | None, floor: float = 0.0) -> str:
    """Return a figure with its interval; one that is not above `floor` as `<floor`."""
    if not found or found["value"] is None:
        return ""
    if found["value"] <= floor:
        return f"<{number(floor)}"
    text = number(found["value"])
    if found["low"] is None:
        return text
    return f"{text} ({number(found['low'])} to {number(found['high'])})"

"""Plain tables that fit a terminal and can be searched and piped."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["paragraph", "problem", "scores", "table", "to_json"]

_WIDTH = 80


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return aligned columns; the last one is wrapped where the line would exceed 80 characters."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head) - 1)]
    indent = sum(widths) + 2 * len(widths)
    rule = ["-" * width for width in widths] + ["-" * min(len(head[-1]), max(_WIDTH - indent, 20))]
    lines = []
    for row in [head, rule, *rows]:
        left = "".join(f"{cell:<{width}}  " for cell, width in zip(row, widths, strict=False))
        wrapped = textwrap.wrap(row[-1], max(_WIDTH - indent, 20)) or [""]
        lines.append((left + wrapped[0]).rstrip())
        lines.extend(" " * indent + line for line in wrapped[1:])
    return "\n".join(lines)


def paragraph(text: str, indent: str = "") -> str:
    """Return `text` wrapped at 80 characters, words such as paths left whole."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def to_json(value: Any) -> str:
    """Return a value for programs."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def scores(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a record's `scores`."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    better = {True: "higher", False: "lower", None: ""}
    cells = [
        (
            row["name"],
            number(row["value"]),
            number(row["std"]),
            str(row["count"]),
            better[row["higher_is_better"]],
        )
        for row in rows
    ]
    return table(("score", "mean", "std", "sounds", "better"), cells)


def problem(sentence: str) -> str:
    """Return a paragraph about a broken installation."""
    return paragraph(f"Problem: {sentence}" + ("" if sentence.endswith("?") else "."))

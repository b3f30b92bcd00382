"""Plain tables that fit a terminal and can be searched and piped."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

__all__ = ["paragraph", "problem", "table"]

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


def problem(sentence: str) -> str:
    """Return a paragraph for something that is wrong with what is installed."""
    return paragraph(f"Problem: {sentence}" + ("" if sentence.endswith("?") else "."))

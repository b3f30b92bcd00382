"""The table of what metrics say of the sounds of a run or an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kernel.cli.table import table

BETTER = {True: "higher", False: "lower", None: ""}


def scores(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a record's `scores`."""
    return table(
        ("score", "mean", "std", "sounds", "better"),
        [
            (
                row["name"],
                _number(row["value"]),
                _number(row["std"]),
                str(row["count"]),
                BETTER[row["higher_is_better"]],
            )
            for row in rows
        ],
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

"""What the metrics here have in common without torch."""

from __future__ import annotations

from kernel import Metric

__all__ = ["Paired"]


class Paired(Metric):
    """Compares each sound with what it should be."""

    @property
    def needs(self) -> frozenset[str]:
        """Return that a reference is needed."""
        return frozenset({"reference"})

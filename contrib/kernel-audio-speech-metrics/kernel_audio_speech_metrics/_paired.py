"""The base of the metrics, without torch."""

from __future__ import annotations

from kernel import Metric

__all__ = ["Paired"]


class Paired(Metric):
    """Compares each sound with its reference."""

    @property
    def needs(self) -> frozenset[str]:
        """Return `reference`."""
        return frozenset({"reference"})

"""The base of the metrics that compare each sound with its reference."""

from __future__ import annotations

from typing import ClassVar

from kernel import Metric


class Paired(Metric):
    """A distance of each sound to its reference."""

    higher_is_better: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[str]:
        """Return that each sound needs a reference."""
        return frozenset({"reference"})

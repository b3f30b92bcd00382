"""What the processes share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

__all__ = ["Process"]


@attrs.frozen
class Process:
    """A process x_t = a x0 + b y + s n by its numbers, which are the fields of the record."""

    name: ClassVar[str]

    @property
    def numbers(self) -> Mapping[str, float]:
        """Return the fields, by name."""
        return attrs.asdict(self)

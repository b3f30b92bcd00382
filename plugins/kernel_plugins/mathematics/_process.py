"""The base of the processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import attrs

__all__ = ["Process"]


@attrs.frozen
class Process:
    """A process x_t = a x0 + b y + s n; the fields of the record are its numbers."""

    name: ClassVar[str]

    @property
    def numbers(self) -> Mapping[str, float]:
        """Return the fields, by name."""
        return attrs.asdict(self)

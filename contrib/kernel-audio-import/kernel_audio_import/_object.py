"""The object of an unknown class in a file, as data."""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["ForeignObject"]


@attrs.define(eq=False)
class ForeignObject:
    """An object of an unknown class, as data: none of its code was run.

    name: `module.Class`. arguments: those of its constructor, None if the file names the class
    itself. state: its attributes. items: its entries, if it is a mapping. members: its members, if
    it is a list. `object[key]` is an entry, an attribute or a member.
    """

    name: str
    arguments: tuple[Any, ...] | None = attrs.field(default=None, repr=False)
    state: Any = attrs.field(default=None, repr=False)
    items: dict[Any, Any] = attrs.field(factory=dict, repr=False)
    members: list[Any] = attrs.field(factory=list, repr=False)

    def __getitem__(self, key: str | int) -> Any:
        # The state of a class with slots is a pair.
        states = self.state if isinstance(self.state, tuple) else (self.state,)
        inside = dict(enumerate(self.members))
        for state in states:
            inside |= state if isinstance(state, dict) else {}
        return (inside | self.items)[key]

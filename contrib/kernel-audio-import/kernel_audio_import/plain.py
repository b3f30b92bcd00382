"""`plain`: tensors as they are, under names that the user states."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from kernel import ForeignFile, ForeignTensor, Importer, InputError, UsageError, hookimpl
from kernel_audio_import._names import strip_prefix, subtree

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Plain"]


class Plain(Importer):
    """Take the tensors of any file as they are, or a group of them, and rename them by rules.

    First the group is picked, then the prefix is taken off, then each rule is applied in order.
    """

    key: str | None = Field(None, description="take only what is below this name: state_dict")
    strip_prefix: str | None = Field(None, description="take it off the names: model.")
    rules: tuple[tuple[str, str], ...] = Field(
        (), description='pairs of a regular expression and what takes its place: [["^net", "body"]]'
    )
    drop: bool = Field(False, description="leave out the objects that are not tensors")

    @field_validator("rules")
    @classmethod
    def _compiles(cls, rules: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for pattern, _ in rules:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression ({error})") from None
        return rules

    def detect(self, file: ForeignFile) -> bool:
        """Return False: it takes any file, and knows none as its own."""
        return False

    def configuration(self, file: ForeignFile) -> dict[str, Any] | None:
        """Return None: names and shapes alone say nothing of components."""
        return None

    def rename(self, file: ForeignFile) -> Mapping[str, ForeignTensor]:
        """Return the picked tensors.

        Raises UsageError for a group, a prefix or a rule that fits no name or makes two equal.
        """
        tensors: Mapping[str, ForeignTensor] = file.tensors
        tensors = subtree(tensors, self.key) if self.key else tensors
        tensors = strip_prefix(tensors, self.strip_prefix) if self.strip_prefix else tensors
        for pattern, new in self.rules:
            tensors = _renamed(tensors, pattern, new)
        return tensors

    def weights(self, file: ForeignFile) -> dict[str, Tensor]:
        """Return the picked tensors. Raises InputError for other objects, unless `drop` is set."""
        if file.unread and not self.drop:
            raise InputError(
                f"{file.path} holds objects that are no tensors: {', '.join(file.unread)}; nothing "
                "of them was run, add --drop to leave them out"
            )
        return super().weights(file)


def _renamed(
    tensors: Mapping[str, ForeignTensor], pattern: str, new: str
) -> dict[str, ForeignTensor]:
    renamed: dict[str, ForeignTensor] = {}
    origin: dict[str, str] = {}
    for name, each in tensors.items():
        try:
            now = re.sub(pattern, new, name)
        except (re.error, IndexError) as error:
            raise UsageError(f"importer.rules cannot put {new!r} in place: {error}") from None
        if not now or now in renamed:
            clash = f"the name of {origin[now]!r}" if now else "no name"
            raise UsageError(
                f"by the rule {pattern!r} the tensor {name!r} would have {clash}; make the rule "
                f"narrower"
            )
        renamed[now], origin[now] = each, name
    if renamed.keys() == tensors.keys():
        raise UsageError(f"the rule {pattern!r} changes no name; --list shows the names")
    return renamed


@hookimpl
def importer() -> type[Importer]:
    """Offer `plain`."""
    return Plain

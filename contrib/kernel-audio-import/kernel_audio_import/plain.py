"""`plain`: the tensors of any file, under names of the user's choice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from kernel import ForeignFile, ForeignTensor, Importer, InputError, hookimpl
from kernel_audio_import._names import strip_prefix, subtree
from kernel_audio_import._patterns import chosen, renamed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Plain"]


class Plain(Importer):
    """Take the tensors of any file, or some of them, and rename them.

    The options act in this order: `key` picks a group, `strip_prefix` shortens the names, `only`
    and `drop` choose, and the lines of `map` rename, one after the other. A pattern names a tensor
    or a group; a `*` in it fits any text, with dots.
    """

    key: str | None = Field(None, description="take only tensors below this name: state_dict")
    strip_prefix: str | None = Field(None, description="cut it from the start of names: model.")
    only: tuple[str, ...] = Field((), description="take only these tensors: ['encoder']")
    drop: tuple[str, ...] = Field((), description="leave out these tensors: ['*.bias']")
    map: tuple[str, ...] = Field(
        (), description="rename tensors: ['net=body', 'layer*.gamma=layers.*.weight']"
    )
    tensors_only: bool = Field(False, description="leave out the objects that are not tensors")

    @field_validator("map")
    @classmethod
    def _renames(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            old, equals, new = line.partition("=")
            if not old or not equals:
                raise ValueError(f"{line!r} is not OLD=NEW")
            if new.count("*") > old.count("*"):
                raise ValueError(f"{line!r} has more * in the new name than in the old name")
        return lines

    def detect(self, file: ForeignFile) -> bool:
        """Return False: it takes any file and has no family."""
        return False

    def configuration(self, file: ForeignFile) -> dict[str, Any] | None:
        """Return None: names and shapes do not determine components."""
        return None

    def rename(self, file: ForeignFile) -> Mapping[str, ForeignTensor]:
        """Return the picked tensors.

        Raises UsageError for a group, a prefix or a pattern that fits no name, and for a name that
        two tensors would have.
        """
        tensors: Mapping[str, ForeignTensor] = file.tensors
        tensors = subtree(tensors, self.key) if self.key else tensors
        tensors = strip_prefix(tensors, self.strip_prefix) if self.strip_prefix else tensors
        tensors = chosen(tensors, self.only, self.drop)
        for line in self.map:
            old, _, new = line.partition("=")
            tensors = renamed(tensors, old, new)
        return tensors

    def weights(self, file: ForeignFile) -> dict[str, Tensor]:
        """Return the picked tensors.

        Raises InputError for a file with other objects, unless `tensors_only` is set.
        """
        if file.unread and not self.tensors_only:
            raise InputError(
                f"{file.path} holds objects that are not tensors: {', '.join(file.unread)}; none "
                "of their code was run; add --tensors-only to leave them out"
            )
        return super().weights(file)


@hookimpl
def importer() -> type[Importer]:
    """Offer `plain`."""
    return Plain

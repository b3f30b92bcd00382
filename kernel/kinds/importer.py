"""How the checkpoints of another project become a model of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import attrs

from kernel.errors import InputError
from kernel.kinds._component import Component

if TYPE_CHECKING:
    from torch import Tensor

_REQUIRED = object()


class ForeignTensor(Protocol):
    """A tensor that still lies in its file."""

    @property
    def dtype(self) -> str:
        """Return torch's name of the type of its values, without `torch.`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return its size along each axis."""

    def load(self) -> Tensor:
        """Read the values, while the file is open, into a tensor of its own on the CPU."""


@attrs.frozen(eq=False)
class ForeignFile:
    """A checkpoint of another project, read as data.

    tensors: by their dotted names (`state_dict.dnn.weight`, `ema.shadow_params.0`), in the file's
    order. content: the nested mappings and lists that hold them, with every number and text, and an
    object that stands for each of theirs. unread: the names of their classes, sorted. A
    configuration that lies beside the checkpoint is found from `path`.
    """

    path: Path
    tensors: Mapping[str, ForeignTensor]
    content: Any = None
    unread: tuple[str, ...] = ()

    def at(self, *way: str | int, default: Any = _REQUIRED) -> Any:
        """Return what stands at the end of a way: `file.at("hyper_parameters", "theta")`.

        The way leads through mappings by key, through lists by number, and through objects by both
        and by the names of attributes. Raises InputError where nothing stands and there is no
        default.
        """
        value = self.content
        for step in way:
            try:
                if isinstance(value, str | bytes):
                    raise KeyError(step)
                value = value[step]
            except (IndexError, KeyError, TypeError):
                if default is not _REQUIRED:
                    return default
                raise InputError(
                    f"{self.path} has nothing at {'.'.join(map(str, way))}; it may have been "
                    f"written by another version of its project"
                ) from None
        return value


class Importer(Component):
    """A family of foreign checkpoints: which files are of it, and what they are in our terms.

    A file that holds several models (a network and its codec) has an importer with an option that
    says which. Nothing of a file is trusted: a value that decides something is checked.
    """

    kind: ClassVar[str] = "importer"
    assembled: ClassVar[bool] = False

    def detect(self, file: ForeignFile) -> bool:
        """Return whether the file is of this family, by names, shapes and values."""
        raise NotImplementedError

    def configuration(self, file: ForeignFile) -> dict[str, Any] | None:
        """Return what `model.toml` has to say, but for `parameters`: our components, their options.

        None when the file does not say what it holds: the tensors are then written alone. Raises
        InputError for a configuration that none of our components stands for.
        """
        raise NotImplementedError

    def rename(self, file: ForeignFile) -> Mapping[str, ForeignTensor]:
        """Return the tensors that are taken (the average, say), by our names; load nothing."""
        raise NotImplementedError

    def weights(self, file: ForeignFile) -> dict[str, Tensor]:
        """Return our tensors: those of `rename`, unless some are split, merged or fused here.

        Raises InputError for a tensor that is missing or not what it has to be.
        """
        return {name: tensor.load() for name, tensor in self.rename(file).items()}

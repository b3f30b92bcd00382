"""The kinds of plugin, a file each: its hook, its base class and what it promises.

The kinds are the files of this folder: to add a kind is to add a file, whose base class has the
kind's name, capitalised. A kind without a base class is data, from which no code is run.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernel.kinds._component import Component

KINDS = tuple(
    sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))
)


@cache
def base(kind: str) -> type[Component] | None:
    """Return the base class of a kind; None for a kind that is data."""
    found: type[Component] | None = getattr(_module(kind), kind.capitalize(), None)
    return found


def _marked(kind: str, *marks: str) -> bool:
    found = base(kind)
    return found is not None and all(getattr(found, mark) for mark in marks)


def accumulates(kind: str) -> bool:
    """Return whether several plugins of a kind may be selected at once."""
    return _marked(kind, "accumulates")


def added(kind: str) -> bool:
    """Return whether what is recommended of a kind is taken beside what is named."""
    return _marked(kind, "added")


def training_kinds() -> tuple[str, ...]:
    """Return the kinds that a training is assembled from."""
    return tuple(kind for kind in KINDS if _marked(kind, "assembled"))


def run_kinds() -> tuple[str, ...]:
    """Return the kinds that a run is assembled from."""
    return tuple(kind for kind in KINDS if _marked(kind, "assembled", "played"))


def model_kinds() -> tuple[str, ...]:
    """Return the kinds that trained weights belong to."""
    return tuple(kind for kind in KINDS if _marked(kind, "assembled", "played", "fixed"))


def hook_modules() -> Iterable[ModuleType]:
    """Return the modules that specify hooks."""
    return [_module(kind) for kind in KINDS if base(kind) is not None]


def _module(kind: str) -> ModuleType:
    return import_module(f"kernel.kinds.{kind}")

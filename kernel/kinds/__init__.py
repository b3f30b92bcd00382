"""The kinds of plugin, a file each: its base class and what it promises.

The kinds are the files of this folder: to add a kind is to add a file, whose base class has the
kind's name, capitalised. Its hook, called by the kind's name, follows from that. A kind without a
base class is data, from which no code is run.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
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


@cache
def specification() -> ModuleType:
    """Return the hooks: `KIND(name: str) -> type[Kind] | None` of every kind, and `build_KIND`."""
    found = ModuleType("kernel hooks")
    for kind in KINDS:
        if base(kind) is not None:
            setattr(found, kind, _hook(kind))
            if build := getattr(_module(kind), f"build_{kind}", None):
                setattr(found, f"build_{kind}", build)
    return found


def _hook(kind: str) -> Callable[[str], None]:
    """Return the specification of a kind's hook."""
    from kernel.kinds._component import hookspec

    def hook(name: str) -> None: ...

    hook.__name__ = kind
    hook.__doc__ = f"Return the {kind} called `name`, or None when the plugin has no such {kind}."
    hook.__annotations__["return"] = f"type[{kind.capitalize()}] | None"
    return hookspec(hook)


def _module(kind: str) -> ModuleType:
    return import_module(f"kernel.kinds.{kind}")

"""Finds where a module lives without importing anything, its parent packages included."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from io import FileIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["first_line", "locate"]

_DOCSTRING = re.compile(r'"""(.+?)("""|\r?\n)')


def locate(module: str) -> Path | None:
    """Return the folder of a package or the file of a module, or None when neither is on disk.

    A folder without `__init__.py` counts as a package, at any depth.
    """
    from pathlib import Path

    places: list[str] | None = None
    found: Path | None = None
    parts = module.split(".")
    for depth, part in enumerate(parts, start=1):
        spec = _spec(".".join(parts[:depth]), places)
        if spec is not None and spec.submodule_search_locations is not None:
            inside = list(spec.submodule_search_locations)
        else:
            inside = [str(place) for root in places or () if (place := Path(root, part)).is_dir()]
        if spec is not None and spec.submodule_search_locations is None:
            found, inside = Path(spec.origin or ""), []
        else:
            found = Path(inside[0]) if inside else None
        if found is None:
            return None
        places = inside
    return found if found is not None and found.is_absolute() and found.exists() else None


def first_line(module: str) -> str | None:
    """Return the first line of a module's docstring, or None where the file does not begin so."""
    places: Sequence[str] | None = None
    origin = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = _spec(".".join(parts[:depth]), places)
        if spec is None:
            return None
        places, origin = spec.submodule_search_locations or (), spec.origin
    try:
        with FileIO(origin or "") as file:
            found = _DOCSTRING.match(file.read(400).decode("utf-8", "replace"))
    except OSError:
        return None
    return found[1].strip() if found else None


def _spec(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(name, places)
        except (AttributeError, ImportError, KeyError):
            # A folder without __init__.py inside a package that is not imported: KeyError.
            continue
        if spec is not None:
            return spec
    return None

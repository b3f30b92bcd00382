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

    origin, inside = _walk(module)
    found = Path(inside[0] if inside else origin)
    return found if found.is_absolute() and found.exists() else None


def first_line(module: str) -> str | None:
    """Return the first line of a module's docstring, or None where the file does not begin so."""
    try:
        with FileIO(_walk(module)[0]) as file:
            found = _DOCSTRING.match(file.read(400).decode("utf-8", "replace"))
    except OSError:
        return None
    return found[1].strip() if found else None


def _walk(module: str) -> tuple[str, list[str]]:
    """Return the file of a module, "" where it has none, and the folders of its submodules."""
    origin = ""
    places: list[str] | None = None
    parts = module.split(".")
    for depth, part in enumerate(parts, start=1):
        spec = _spec(".".join(parts[:depth]), places)
        if spec is None:
            from pathlib import Path

            origin = ""
            places = [str(place) for root in places or () if (place := Path(root, part)).is_dir()]
        else:
            origin, places = spec.origin or "", list(spec.submodule_search_locations or ())
    return origin, places or []


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

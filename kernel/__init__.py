"""A plugin microkernel for audio diffusion: this is the whole public API.

Names are imported when they are first used, so that `import kernel` costs next to nothing. The
stub beside this file says, for type checkers too, where each of them is at home.
"""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import get_data
from typing import Any

__version__ = "0.1.0"

API = 1
"""The major version of the plugin API; plugins register in the entry-point group `kernel.v1`."""

_STUB = (get_data(__name__, "__init__.pyi") or b"").decode()
_HOME = {
    name: home
    for home, names in re.findall(r"(?m)^from (\S+) import (.*)", _STUB)
    for name in re.findall(r"(\w+) as \1\b", names)
}

__all__ = ["API", "__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'kernel' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

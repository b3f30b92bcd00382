"""The names in a project."""

from __future__ import annotations

import sys
from importlib import metadata
from keyword import iskeyword
from typing import Self

import attrs
from packaging.utils import is_normalized_name

from kernel.errors import UsageError
from kernel.registry import locate

__all__ = ["Names", "component_name"]


_PREFIXES = ("kernel-audio-", "kernel-")


@attrs.frozen
class Names:
    """The name of a distribution, of its components and of its package.

    Without a `name` the components are called as the distribution is, without `kernel-audio-` or
    `kernel-`.
    """

    distribution: str
    name: str = attrs.field()
    package: str = attrs.field()

    @name.default
    def _name(self) -> str:
        fitting = (prefix for prefix in _PREFIXES if self.distribution.startswith(prefix))
        return self.distribution.removeprefix(next(fitting, ""))

    @package.default
    def _package(self) -> str:
        return self.distribution.replace("-", "_")

    @classmethod
    def of(cls, distribution: str, name: str | None = None) -> Self:
        """Return the names of a new distribution. Raises UsageError for one that cannot be."""
        if not is_normalized_name(distribution) or not distribution[0].isalpha():
            raise UsageError(
                f"a distribution cannot be called {distribution!r} here; use lower-case letters, "
                "digits and single hyphens and begin with a letter, e.g. kernel-audio-ab2"
            )
        names = cls(distribution) if name is None else cls(distribution, component_name(name))
        if not names.name[0].isalpha():
            raise UsageError(
                f"{distribution} would offer something called {names.name!r}, which begins with a "
                "digit; choose a name that begins with a letter, e.g. --name ab2"
            )
        if names._taken():
            raise UsageError(
                f"the name {distribution} is taken by something that Python finds already; choose "
                "another name, or uninstall what has it (--into FOLDER adds to a project)"
            )
        return names

    @property
    def identifier(self) -> str:
        """Return the name of its components as an identifier."""
        return self.name.replace("-", "_")

    @property
    def title(self) -> str:
        """Return the name of its classes."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    def _taken(self) -> bool:
        if self.package in sys.stdlib_module_names or iskeyword(self.package):
            return True
        try:
            metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError:
            return locate(self.package) is not None
        return True


def component_name(name: str) -> str:
    """Return the name of a component. Raises UsageError for one that cannot be."""
    if not is_normalized_name(name) or not name[0].isalpha():
        raise UsageError(
            f"a component cannot be called {name!r}; use lower-case letters, digits and single "
            "hyphens and begin with a letter, e.g. --name ab2"
        )
    return name

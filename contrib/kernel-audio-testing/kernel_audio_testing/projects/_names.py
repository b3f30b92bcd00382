"""What is called what in a project."""

from __future__ import annotations

import sys
from importlib import metadata
from keyword import iskeyword
from typing import Self

import attrs
from packaging.utils import is_normalized_name

from kernel.errors import UsageError
from kernel.locate import locate

__all__ = ["Names"]


@attrs.frozen
class Names:
    """The name of a distribution, and those that follow from it."""

    distribution: str

    @classmethod
    def of(cls, distribution: str) -> Self:
        """Return the names of a new distribution. Raises UsageError for one that cannot be."""
        if not is_normalized_name(distribution) or not distribution[0].isalpha():
            raise UsageError(
                f"a distribution cannot be called {distribution!r} here; use lower-case letters, "
                "digits and single hyphens and begin with a letter, e.g. kernel-audio-ab2"
            )
        names = cls(distribution)
        if not names.name[0].isalpha():
            raise UsageError(
                f"{distribution} would offer something called {names.name!r}, which begins with a "
                "digit; choose a name that goes on with a letter, e.g. kernel-audio-ab2"
            )
        if names._taken():
            raise UsageError(
                f"the name {distribution} is taken by something that Python finds already; choose "
                "another name, or uninstall what has it"
            )
        return names

    @property
    def name(self) -> str:
        """Return what its components are called: the name without `kernel-` or `kernel-audio-`."""
        prefix = "kernel-audio-" if self.distribution.startswith("kernel-audio-") else "kernel-"
        return self.distribution.removeprefix(prefix)

    @property
    def package(self) -> str:
        """Return the name of its package."""
        return self.distribution.replace("-", "_")

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

"""The subject of a check, and the ways in which a check can end other than pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from pydantic import ValidationError

from kernel.config import explain
from kernel.errors import UsageError
from kernel.registry import PluginInfo, Registry

__all__ = ["Inapplicable", "Shortfall", "Subject", "Violation", "require"]


class Violation(AssertionError):
    """A promise that is not kept; the message is one sentence."""


class Inapplicable(Exception):
    """A check has nothing to say about a component; the message is the reason."""


class Shortfall(Exception):
    """A promise that is not kept, as the component says; the message is its reason and what fails.

    The component lists the check in its `shortfalls`.
    """


def require(kept: bool, sentence: str) -> None:
    """Raise Violation with `sentence` unless the promise was kept."""
    if not kept:
        raise Violation(sentence)


@attrs.frozen
class Subject:
    """A plugin under test and the options to test it with."""

    info: PluginInfo
    registry: Registry
    options: Mapping[str, Any] = attrs.field(factory=dict)

    def load(self) -> Any:
        """Return the component's class. Raises PluginError."""
        return self.registry.load(self.info)

    @property
    def shortfalls(self) -> Mapping[str, str]:
        """Return the checks that the component is known to fail, each with the reason."""
        return {} if self.info.kind == "model" else self.load().shortfalls

    def make(self, **changes: Any) -> Any:
        """Return the component with the subject's options and `changes`. Raises UsageError."""
        component = self.load()
        try:
            return component.model_validate({**self.options, **changes})
        except ValidationError as error:
            sentence = explain(error, component, f"option of {self.info.spelling}")
            raise UsageError(
                f"{sentence} (`kernel plugins {self.info.name}` lists the options)"
            ) from None

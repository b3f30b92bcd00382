"""What a check is about, and the two ways in which it can end but pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from pydantic import ValidationError

from kernel.config import explain
from kernel.errors import UsageError
from kernel.registry import PluginInfo, Registry

__all__ = ["Inapplicable", "Subject", "Violation", "require"]


class Violation(AssertionError):
    """A promise that is not kept; the message is one sentence."""


class Inapplicable(Exception):
    """A check has nothing to say about a component; the message is the reason."""


def require(kept: bool, sentence: str) -> None:
    """Raise Violation with `sentence` unless the promise was kept."""
    if not kept:
        raise Violation(sentence)


@attrs.frozen
class Subject:
    """A plugin under test and the options to test it with.

    `neutral` are options with which a guidance changes nothing.
    """

    info: PluginInfo
    registry: Registry
    options: Mapping[str, Any] = attrs.field(factory=dict)
    neutral: Mapping[str, Any] = attrs.field(factory=dict)

    def load(self) -> Any:
        """Return the component's class. Raises PluginError."""
        return self.registry.load(self.info)

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

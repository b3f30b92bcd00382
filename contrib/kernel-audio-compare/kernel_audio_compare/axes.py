"""The axes of a grid: a setting of `kernel run`, a kind of plugin, or an option of a component."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from kernel.config import RunConfig, load
from kernel.errors import UsageError, did_you_mean
from kernel.kinds import run_kinds
from kernel.registry import Registry

__all__ = ["Axis", "axes_of", "parse_axis"]

FIXED = {
    "plugins": "name a kind, such as solver=euler,heun",
    "without": "it is the same in every cell; type --without",
    "options": "name the option, such as guidance.guidance_scale=1,3",
    "prefer": "write the distribution, such as solver=unipc@lab-b",
    "count": "the cells of a grid have the same items; type --count",
    "inputs": "the cells of a grid have the same items; type --inputs",
    "out": "a grid has one folder; type --out",
    "name": "a grid names its cells itself",
    "metric": "every cell has the same scores; name metrics with --plugins or --metrics",
    "observer": "observers change no sound; leave it out",
}
"""What is the same in every cell, and what to type in its place."""


@attrs.frozen
class Axis:
    """One direction of a grid and its values, of which every cell has one."""

    name: str
    values: tuple[Any, ...]
    what: Literal["setting", "kind", "option"]

    @property
    def integrates(self) -> bool:
        """Return whether it changes only how the ODE is followed, so not the converged sound."""
        return self.name.partition(".")[0] in ("solver", "schedule", "steps")

    def applied(self, value: Any, config: RunConfig) -> RunConfig:
        """Return the settings with a value of the axis. Raises UsageError for one that cannot be.

        A kind's plugin comes after those that were named, and so takes the place of its kind's.
        """
        if self.what == "option":
            return load(RunConfig, config.model_dump(), {}, {self.name: value})
        if self.what == "kind":
            plugins = (*config.plugins, _spelling(self.name, value))
            return config.model_copy(update={"plugins": plugins})
        return load(RunConfig, config.model_dump(), {self.name: value})


def parse_axis(text: str) -> tuple[str, tuple[Any, ...]]:
    """Split `AXIS=A,B,C`; a value is read as TOML and, failing that, as a string.

    Raises UsageError for any other form.
    """
    name, equals, given = text.partition("=")
    if not (name.strip() and equals and given.strip()):
        raise UsageError(
            f"axis {text!r} is not of the form AXIS=A,B,C, e.g. solver=euler,heun or steps=8,16"
        )
    try:
        values = tomllib.loads(f"value = [{given}]")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        values = [_value(word.strip()) for word in given.split(",")]
    return name.strip(), tuple(values)


def axes_of(over: Mapping[str, Sequence[Any]], registry: Registry) -> tuple[Axis, ...]:
    """Return the axes, in the order given: the last one changes fastest.

    Raises UsageError for an unknown axis, for one that cannot be, and for an unknown plugin or a
    setting's bad value. Options are checked when the cells are planned.
    """
    if not over:
        raise UsageError("a comparison needs an axis; add one, e.g. --over solver=euler,heun")
    return tuple(_axis(name, tuple(values), registry) for name, values in over.items())


def _axis(name: str, values: tuple[Any, ...], registry: Registry) -> Axis:
    if name in FIXED:
        raise UsageError(f"{name!r} cannot be an axis: {FIXED[name]}")
    if not values or "" in values:
        raise UsageError(f"axis {name!r} has an empty value; write {name}=A,B,C")
    if twice := next((each for each in values if values.count(each) > 1), None):
        raise UsageError(f"axis {name!r} has the value {twice!r} twice; leave one out")
    kind, dot, _ = name.partition(".")
    if name in RunConfig.model_fields:
        for value in values:
            load(RunConfig, None, {name: value})
        return Axis(name, values, "setting")
    if kind not in run_kinds():
        known = [*RunConfig.model_fields, *run_kinds()]
        near = did_you_mean(kind, [each for each in known if each not in FIXED])
        near = near or "; it may be steps, a kind such as solver, or an option KIND.OPTION"
        raise UsageError(f"there is no axis {name!r}{near}")
    if dot:
        return Axis(name, values, "option")
    for value in values:
        registry.pick(str(value), kind)
    return Axis(name, tuple(map(str, values)), "kind")


def _spelling(kind: str, name: str) -> str:
    return name if name.startswith(f"{kind}.") else f"{kind}.{name}"


def _value(word: str) -> Any:
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return word

"""Components that are checked without being installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernel.registry import PluginInfo, Registry
from kernel_audio_testing import Subject, Violation, checks_for, run_checks


class Fixed(Registry):
    """A registry that loads one class, whatever it is asked for."""

    component: Any = None

    def load(self, info: PluginInfo) -> Any:
        return self.component


@pytest.fixture
def subject() -> Callable[..., Subject]:
    """Return a function that makes a subject of a component class and its options."""

    def make(component: Any, **options: Any) -> Subject:
        info = PluginInfo(component.kind, "tested", "tests", "1", "kernel")
        registry = Fixed()
        registry.component = component
        return Subject(info, registry, options)

    return make


@pytest.fixture
def broken(subject: Callable[..., Subject]) -> Callable[..., set[str]]:
    """Return a function that returns the names of the checks that a component fails."""

    def run(component: Any, **options: Any) -> set[str]:
        tested = subject(component, **options)
        outcomes = run_checks(tested.registry, tested.info, options)
        return {each.check for each in outcomes if each.status in ("failed", "error")}

    return run


@pytest.fixture
def catch(subject: Callable[..., Subject]) -> Callable[..., str]:
    """Return a function that returns what one check, by name, finds wrong with a component."""

    def run(component: Any, check: str, **options: Any) -> str:
        (found,) = [each for each in checks_for(component.kind) if each.name == check]
        with pytest.raises(Violation) as caught:
            found.function(subject(component, **options))
        return str(caught.value)

    return run

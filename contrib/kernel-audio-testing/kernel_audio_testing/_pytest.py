"""The checks as a parametrized pytest test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kernel.registry import Registry
from kernel_audio_testing._run import Check, checks_for, perform, subject_of
from kernel_audio_testing._subject import Inapplicable, Shortfall, Subject

__all__ = ["conformance", "hold"]


def conformance(spelling: str, **options: Any) -> Callable[..., None]:
    """Return a test of every plugin that fits `[KIND.]NAME[@DISTRIBUTION]`.

    Each check is one case, called by its name; one that the component lists in its `shortfalls` is
    expected to fail, and fails when it passes. The plugin is imported when its cases run. Raises
    UsageError when nothing of that name is installed.
    """
    import pytest

    registry = Registry.scan()
    found = registry.find(spelling)
    if not found:
        raise registry.unknown(spelling)
    cases = [
        pytest.param(
            Subject(info, registry, options),
            check,
            id=f"{info.spelling}-{check.name}" if len(found) > 1 else check.name,
        )
        for info in found
        for check in checks_for(info.kind)
    ]

    @pytest.mark.parametrize(("subject", "check"), cases)
    def test(subject: Subject, check: Check) -> None:
        """Run one check."""
        subject_of(subject.registry, subject.info, subject.options)
        hold(subject, check)

    return test


def hold(subject: Subject, check: Check) -> None:
    """Run one check in a pytest test: skip where it does not apply, xfail where it is expected."""
    import pytest

    try:
        perform(check, subject)
    except Inapplicable as reason:
        pytest.skip(str(reason))
    except Shortfall as shortfall:
        pytest.xfail(str(shortfall))

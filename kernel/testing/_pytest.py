"""The checks as a parametrized pytest test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kernel.registry import Registry
from kernel.testing._run import Check, checks_for, subject_of
from kernel.testing._subject import Inapplicable, Subject

__all__ = ["conformance"]


def conformance(
    spelling: str, *, neutral: Mapping[str, Any] | None = None, **options: Any
) -> Callable[..., None]:
    """Return a test of everything that `[KIND.]NAME[@DISTRIBUTION]` may mean.

    Each check is one case, called by its name. The plugin is imported when its cases run. With
    `neutral`, a guidance is held to change nothing under these options. Raises UsageError when
    nothing of that name is installed.
    """
    import pytest

    registry = Registry.scan()
    found = registry.find(spelling)
    if not found:
        raise registry.unknown(spelling)
    cases = [
        pytest.param(
            Subject(info, registry, options, neutral or {}),
            check,
            id=f"{info.spelling}-{check.name}" if len(found) > 1 else check.name,
        )
        for info in found
        for check in checks_for(info.kind)
    ]

    @pytest.mark.parametrize(("subject", "check"), cases)
    def test(subject: Subject, check: Check) -> None:
        """Run one check."""
        subject_of(subject.registry, subject.info, subject.options, subject.neutral)
        try:
            check.function(subject)
        except Inapplicable as reason:
            pytest.skip(str(reason))

    return test

"""The checks of observers catch what they are there to catch."""

from __future__ import annotations

from typing import Any

import pytest

from kernel import Observer


class Quiet(Observer):
    """Watch."""


class Meddler(Observer):
    """Write into the record."""

    def started(self, directory, record):  # type: ignore[no-untyped-def]
        record["config"]["seed"] = 1


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Quiet) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (Meddler, {}, "lifecycle"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)

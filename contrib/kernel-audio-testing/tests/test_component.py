"""The checks of every component catch what they are there to catch."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from pydantic import Field

from kernel import Observer
from kernel_audio_testing import run_checks


class Quiet(Observer):
    """Watch."""

    limit: float | None = Field(5.0, description="none for no limit")


class Undescribed(Quiet):
    """Have an option that nobody explains."""

    mystery: int = 1


class Lossy(Quiet):
    """Have an option that a file cannot hold: without None it is read as its default."""


class Lax(Quiet):
    """Accept any option."""

    model_config: ClassVar[Any] = {"extra": "ignore"}


class Required(Quiet):
    """Have an option without a default."""

    needed: int = Field(description="needed")


class Listing(Quiet):
    """Need a list of words."""

    @property
    def needs(self):  # type: ignore[no-untyped-def]
        return ["reference"]


class Listed(Quiet):
    """Fail a check for a good reason."""

    shortfalls: ClassVar[Any] = {"lifecycle": "the record is its notebook"}

    def started(self, directory, record):  # type: ignore[no-untyped-def]
        record["note"] = 1


class Outdated(Quiet):
    """Pass a check that is said to fail."""

    shortfalls: ClassVar[Any] = {"lifecycle": "the record is its notebook"}


class Misspelt(Quiet):
    """List a check that there is not."""

    shortfalls: ClassVar[Any] = {"lifecycel": "the record is its notebook"}


class Wordless(Listed):
    """Give no reason."""

    shortfalls: ClassVar[Any] = {"lifecycle": " "}


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Quiet) == set()


@pytest.mark.parametrize(
    ("component", "check", "detail"),
    [
        (Undescribed, "documented", "the option mystery has no description"),
        (Lax, "unknown_option", "is accepted and ignored"),
        (Listing, "words", "needs is ['reference'], not a frozenset of words"),
        (Misspelt, "shortfalls", "no check of the kind observer; did you mean 'lifecycle'?"),
        (Wordless, "shortfalls", "gives no reason for 'lifecycle'"),
    ],
)
def test_what_is_broken_is_caught(component: Any, check: str, detail: str, catch: Any) -> None:
    assert detail in catch(component, check)


def test_options_that_a_file_cannot_hold_are_caught(broken: Any) -> None:
    assert broken(Lossy, limit=None) == {"saved_options"}


def test_required_options_are_caught(broken: Any) -> None:
    assert broken(Required, needed=1) == {"defaults"}


@pytest.mark.parametrize(
    ("component", "status", "detail"),
    [
        (Listed, "expected", "the record is its notebook (it changes the record of the run)"),
        (Outdated, "failed", "(the record is its notebook); take 'lifecycle' off that list"),
    ],
)
def test_a_shortfall_is_expected_to_fail(
    component: Any, status: str, detail: str, subject: Any
) -> None:
    tested = subject(component)
    outcomes = {each.check: each for each in run_checks(tested.registry, tested.info)}
    assert outcomes["lifecycle"].status == status
    assert detail in outcomes["lifecycle"].detail
    assert outcomes["shortfalls"].status == "passed"

"""The checks of commands catch what they are there to catch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import click
import pytest

from kernel import Command
from kernel_audio_testing import Subject, Violation, checks_for


@click.command()
@click.option("--loud", is_flag=True, help="Shout.")
def greet(loud: bool) -> None:
    """Say hello."""


@click.command()
@click.option("--loud", is_flag=True)
def silent(loud: bool) -> None:
    """Say hello."""


@click.command(help="")
def mute() -> None:
    pass


class Sound(Command):
    """Greet."""

    def build(self) -> click.Command:
        return greet


class Nothing(Command):
    """Build nothing."""

    def build(self) -> Any:
        return None


class Unexplained(Command):
    """Have an option without a help text."""

    def build(self) -> click.Command:
        return silent


class Inside(Command):
    """Have a command without a help text in a group."""

    def build(self) -> click.Command:
        return click.Group("all", [mute], help="Everything.")


def test_what_is_sound_passes(broken: Callable[..., set[str]]) -> None:
    assert broken(Sound) == set()


@pytest.mark.parametrize(
    ("component", "check", "message"),
    [
        (Nothing, "builds", "build() returns None, which is not a click.Command"),
        (Unexplained, "help", "the option --loud has no help text"),
        (Inside, "help", "mute has no help text"),
    ],
)
def test_what_is_broken_is_caught(
    component: type[Command], check: str, message: str, catch: Callable[..., str]
) -> None:
    assert catch(component, check) == message


@pytest.mark.parametrize(
    ("check", "changes", "message"),
    [
        ("own_name", {"name": "run"}, "kernel-audio has a command 'run' of its own"),
        ("listed", {"target": "nowhere"}, "nowhere does not begin with a docstring"),
    ],
)
def test_a_wrong_entry_point_is_caught(
    check: str, changes: dict[str, str], message: str, subject: Callable[..., Subject]
) -> None:
    tested = subject(Sound)
    tested = attrs.evolve(tested, info=tested.info._replace(**changes))
    (found,) = [each for each in checks_for("command") if each.name == check]
    with pytest.raises(Violation) as caught:
        found.function(tested)
    assert str(caught.value) == message

"""Commands from Python, and those that have no such form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernel import Command, UsageError
from kernel.api import command_of
from kernel.registry import Registry

LEVELS = """
    from kernel import Command, hookimpl


    class Levels(Command):
        '''Answers from Python.'''

        def call(self, *given, **settings):
            return given, settings


    @hookimpl
    def command():
        return Levels
"""


def test_a_command_of_any_distribution_is_called_from_python(site: Any) -> None:
    site.install("lab-levels", {"command.levels": "lab_levels"}, {"lab_levels.py": LEVELS})
    found = command_of("levels", Registry.scan(path=site.path))
    assert found.call("a", steps=3) == (("a",), {"steps": 3})


def test_a_command_that_is_not_there_is_named_with_who_brings_it(site: Any) -> None:
    registry = Registry.scan(path=site.path)
    with pytest.raises(UsageError, match=r"'train' is not .* `pip install kernel-audio-training`"):
        command_of("train", registry)
    with pytest.raises(UsageError, match="no distribution offers the command 'levels'"):
        command_of("levels", registry)


def test_a_command_for_the_shell_alone_says_so() -> None:
    class Mine(Command):
        """Has no form but the shell's."""

    with pytest.raises(UsageError, match="the command Mine cannot be called from Python"):
        Mine().call()
    with pytest.raises(UsageError, match="the command Mine has no settings to lock"):
        Mine().plan(Path("night.toml"), None)

"""The checks of commands."""

from __future__ import annotations

import click
from click.testing import CliRunner

from kernel.cli import COMMANDS
from kernel.registry import first_line
from kernel_audio_testing._subject import Subject, require

__all__ = ["CHECKS"]


def check_builds(subject: Subject) -> str | None:
    """Check that `build` returns a click command at every call."""
    component = subject.make()
    for _ in range(2):
        built = component.build()
        require(
            isinstance(built, click.Command),
            f"build() returns {built!r:.80}, which is not a click.Command",
        )
    return None


def check_own_name(subject: Subject) -> str | None:
    """Check that its name is not that of a command of kernel-audio, which would hide it."""
    name = subject.info.name
    require(name not in COMMANDS, f"kernel-audio has a command {name!r} of its own")
    return None


def check_listed(subject: Subject) -> str | None:
    """Check that its module begins with a docstring, whose first line `kernel --help` shows."""
    line = first_line(subject.info.target)
    require(line is not None, f"{subject.info.target} does not begin with a docstring")
    return line


def check_help(subject: Subject) -> str | None:
    """Check that `--help` describes the command and each of its options."""
    built = subject.make().build()
    for command in (built, *(built.commands.values() if isinstance(built, click.Group) else ())):
        require(bool((command.help or "").strip()), f"{command.name} has no help text")
        options = [each for each in command.params if isinstance(each, click.Option)]
        silent = [option.opts[0] for option in options if not option.help and not option.hidden]
        require(not silent, f"the option {', '.join(silent)} has no help text")
    shown = CliRunner().invoke(built, ["--help"], prog_name="kernel")
    require(shown.exit_code == 0, f"--help ends with the exit code {shown.exit_code}")
    return None


CHECKS = (check_builds, check_own_name, check_listed, check_help)

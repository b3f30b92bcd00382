"""A subcommand of `kernel`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from kernel.errors import UsageError
from kernel.kinds._component import Component

if TYPE_CHECKING:
    import click


class Command(Component):
    """A subcommand of `kernel`, called by the name of its entry point.

    `kernel --help` lists it with its distribution and imports nothing of it. An error that is a
    `KernelError` ends the process with one sentence and the exit code of its class.
    """

    kind: ClassVar[str] = "command"
    assembled: ClassVar[bool] = False

    def build(self) -> click.Command:
        """Return the command for click; its help and its options are click's."""
        raise NotImplementedError

    def call(self, *given: Any, **settings: Any) -> Any:
        """Do from Python what the command does, and return what it made.

        Raises UsageError by default, for a command that is for the shell alone.
        """
        raise UsageError(f"the command {type(self).__name__} cannot be called from Python")

    def plan(self, file: Path, registry: Any) -> tuple[Any, Any]:
        """Return the Settings in a file for the command, and their Plan: what `kernel lock` locks.

        registry: the installed plugins. Raises UsageError by default, for a command without.
        """
        raise UsageError(f"the command {type(self).__name__} has no settings to lock")

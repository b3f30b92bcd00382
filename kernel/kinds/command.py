"""A subcommand of `kernel`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

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

"""Write the project of a plugin of your own."""

from __future__ import annotations

from pathlib import Path

import click

from kernel import Command, hookimpl
from kernel.kinds import KINDS

EPILOG = f"""\b
Examples:
  kernel new kernel-audio-ab2 --kind solver
  kernel new kernel-audio-bells --kind model --out ~/plugins

The kinds are {", ".join(KINDS)}.
A model is a whole little system, one component of each kind that a model needs and trained weights;
for weights of your own, see `kernel export`.
"""


@click.command(epilog=EPILOG)
@click.argument("name")
@click.option("-k", "--kind", required=True, help="What the plugin is, e.g. --kind solver.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Folder to make the project in, e.g. --out plugins.  [default: this one]",
)
def new(name: str, kind: str, out: Path) -> None:
    """Write the project of a plugin of your own, with a component that works.

    NAME is that of the distribution, e.g. kernel-audio-ab2; what it offers is then called ab2.
    """
    from kernel_audio_testing.commands._project import tell
    from kernel_audio_testing.projects import Names, new_project

    project = new_project(Names.of(name), kind)
    tell(project, project.write(out))


class New(Command):
    """Write an installable project with a component of a kind that works."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return new


@hookimpl
def command() -> type[Command]:
    """Offer `new`."""
    return New

"""Write the project of a plugin of your own."""

from __future__ import annotations

from pathlib import Path

import click

from kernel import Command, UsageError, hookimpl
from kernel.kinds import KINDS

EPILOG = f"""\b
Examples:
  kernel new kernel-audio-ab2 --kind solver
  kernel new kernel-audio-lab --kind solver --name ab2
  kernel new --into kernel-audio-lab --kind schedule --name steep
  kernel new kernel-audio-bells --kind model --out ~/plugins

The kinds are {", ".join(KINDS)}.
A model is a small whole system: one component of each kind that a model needs, and trained weights;
for weights of your own, see `kernel export`.
"""


@click.command(epilog=EPILOG)
@click.argument("distribution", metavar="[DISTRIBUTION]", required=False)
@click.option("-k", "--kind", required=True, help="Kind of the component, e.g. --kind solver.")
@click.option(
    "--name",
    help="Name of the component.  [default: the distribution without kernel-audio-]",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Add the component to the project in a folder.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder to make the project in, e.g. --out plugins.  [default: this one]",
)
def new(
    distribution: str | None, kind: str, name: str | None, into: Path | None, out: Path | None
) -> None:
    """Write the project of a plugin of your own, with a component that works.

    DISTRIBUTION is the name for pip, e.g. kernel-audio-ab2; its component is then called ab2.
    --into adds a component to an existing project: a module, an entry point and a test.
    """
    from kernel_audio_testing.commands._project import tell
    from kernel_audio_testing.projects import Names, addition, new_project

    if (distribution is None) == (into is None):
        raise UsageError(
            "name a new distribution, e.g. kernel-audio-ab2, or the folder of a project with --into"
        )
    if distribution is not None:
        project = new_project(Names.of(distribution, name), kind)
        tell(project, project.write(out or Path()))
    elif into is not None:
        if out is not None:
            raise UsageError("--out is for a new project; leave it out beside --into")
        added = addition(into, kind, name)
        tell(added, added.write(), "now has")


class New(Command):
    """Write an installable project with a component of a kind that works."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return new


@hookimpl
def command() -> type[Command]:
    """Offer `new`."""
    return New

"""Write the project of a model pack from a training."""

from __future__ import annotations

from pathlib import Path

import click

from kernel import Command, hookimpl

EPILOG = """\b
Examples:
  kernel export trainings/drums --pack kernel-audio-drums --licence CC-BY-4.0
  kernel export trainings/drums/model --pack kernel-audio-drums --out ~/packs
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--pack", required=True, metavar="NAME", help="Its distribution, e.g. kernel-audio-drums."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Folder to make the project in, e.g. --out packs.  [default: this one]",
)
@click.option("--licence", help="Licence of the weights.  [default: the manifest's]")
@click.option("--attribution", help="Attribution of the weights.  [default: the manifest's]")
@click.option(
    "--whole", is_flag=True, help="Put the codec's weights in too, and leave its pack out."
)
def export(
    run: Path, pack: str, out: Path, licence: str | None, attribution: str | None, whole: bool
) -> None:
    """Write the project of a model pack, which holds trained weights and no code.

    RUN is the folder of a training, or one that holds model.toml and its weights.
    """
    from kernel.registry import Registry
    from kernel_audio_testing.commands._project import tell
    from kernel_audio_testing.projects import Names, pack_project

    project = pack_project(Names.of(pack), run, Registry.scan(), licence, attribution, whole)
    tell(project, project.write(out))


class Export(Command):
    """Write an installable project of a model pack from a training."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return export


@hookimpl
def command() -> type[Command]:
    """Offer `export`."""
    return Export

"""Score sounds, alone or against references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kernel import Command, hookimpl
from kernel.cli import installed
from kernel.cli.settings import component_option, given, setting
from kernel.cli.table import scores, to_json
from kernel.config import Settings

EPILOG = """\b
Examples:
  kernel evaluate runs/edm-unipc-1 --plugins level
  kernel evaluate enhanced --reference clean --plugins pesq,estoi,si-sdr
  kernel evaluate out.wav --reference clean.wav --plugins pesq -o metric.mode=nb

`kernel run --plugins ...,METRIC` scores the sounds that it makes in the same way.
"""


@click.command(epilog=EPILOG)
@click.argument("sounds", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True),
    help="A folder of reference sounds with the same names, or a file for a file.",
)
@click.option(
    "-p",
    "--plugins",
    metavar="A,B,...",
    callback=given,
    required=True,
    help="Metrics, each NAME[@DISTRIBUTION], e.g. pesq,si-sdr.",
)
@component_option
@setting(Settings, "device")
@click.option("--json", "as_json", is_flag=True, help="Print every score for programs.")
def evaluate(sounds: Path, plugins: tuple[str, ...], as_json: bool, **values: Any) -> None:
    """Score the SOUNDS in a folder (a run's, say) or a file with metrics."""
    record = EvaluateCommand().call(sounds, plugins, registry=installed(), **values)
    if as_json:
        click.echo(to_json(record))
        return
    click.echo(scores(record["scores"]))
    for note in record["warnings"]:
        click.echo(f"note: {note}", err=True)


class EvaluateCommand(Command):
    """Score sounds with metrics, each alone, against its reference, or as a set."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return evaluate

    def call(self, *given: Any, **settings: Any) -> dict[str, Any]:
        """Return the scores; `kernel.evaluate` says what is given."""
        from kernel_plugins.commands._scored import evaluated

        return evaluated(*given, **settings)


@hookimpl
def command() -> type[Command]:
    """Offer `evaluate`."""
    return EvaluateCommand

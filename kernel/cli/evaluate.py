"""`kernel evaluate`."""

from __future__ import annotations

from pathlib import Path

import click

from kernel.cli._settings import component_option, given, setting
from kernel.cli.table import scores, to_json
from kernel.config import Settings, load

EPILOG = """\b
Examples:
  kernel evaluate runs/edm-unipc-1 --plugins level
  kernel evaluate enhanced --reference clean --plugins pesq,estoi,si-sdr
  kernel evaluate out.wav --reference clean.wav --plugins pesq -o metric.mode=nb

`kernel run --plugins ...,METRIC` scores what it makes in the same way.
"""


@click.command(epilog=EPILOG)
@click.argument("sounds", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--reference",
    type=click.Path(path_type=Path, exists=True),
    help="A folder with what the sounds should be, by the same names; or a file for a file.",
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
def command(
    sounds: Path,
    reference: Path | None,
    plugins: tuple[str, ...],
    options: tuple[str, ...],
    device: str | None,
    as_json: bool,
) -> None:
    """Score the SOUNDS in a folder (a run's, say) or a file with metrics."""
    from kernel.assembly import assemble
    from kernel.cli._user import preferences
    from kernel.registry import Registry, Selection

    settings = load(Settings, None, {"plugins": plugins, "device": device}, options)
    registry = Registry.scan(preferences())
    kinds = ("encoder", "metric")
    picked = dict.fromkeys(registry.pick(name, "metric") for name in plugins)
    assembly, _ = assemble(registry, Selection(tuple(picked)), kinds, settings.options)
    from kernel.runner.evaluate import execute

    record = execute(settings, assembly, sounds, reference)
    if as_json:
        click.echo(to_json(record))
        return
    click.echo(scores(record["scores"]))
    for note in record["warnings"]:
        click.echo(f"note: {note}", err=True)

"""`kernel run`."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import click

from kernel.cli.settings import configured, repeatable
from kernel.cli.table import scores, to_json
from kernel.config import RunConfig

EPILOG = """\b
Examples:
  kernel run --plugins edm,unipc
  kernel run --plugins rf,heun --steps 32 --seed 7
  kernel run --plugins edm,unipc -o solver.predictor_order=2 -o task.label=7 --count 4
  kernel run --model trainings/digits/model --plugins schedule.rf,dpmpp-2m
  kernel run --from runs/edm-unipc-1 --seed 7
  torchrun --nproc-per-node 2 -m kernel run --plugins edm,unipc --count 1000
  kernel run -c night.toml --locked

Kinds that are not named come from the model's recommendation; with no model named, the first one
that was trained with the named components is taken.
"""


@click.command(epilog=EPILOG)
@configured(RunConfig, "model", "steps", "count", "batch", "inputs", "out", "name", "cuda_graph")
@repeatable
@click.option("--json", "as_json", is_flag=True, help="Print the run's record for programs.")
def command(plugins: tuple[str, ...] | None, as_json: bool, **values: Any) -> None:
    """Generate sounds: WAV files, spectrograms, a page to listen on and a record."""
    from kernel.api import run
    from kernel.cli._user import installed
    from kernel.cli.header import show
    from kernel.cli.progress import Bar

    with closing(Bar(what="sampling")) as bar:
        told = None if as_json else show
        made = run(plugins or (), observers=(bar,), planned=told, registry=installed(), **values)
    if made.rank:
        return
    if as_json:
        click.echo(to_json(made.record | {"folder": str(made.folder)}))
        return
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    if made.record["scores"]:
        click.echo(scores(made.record["scores"]))
    sampling = made.record["sampling"]
    sounds = "1 sound" if sampling["count"] == 1 else f"{sampling['count']} sounds"
    passes = f"{sampling['gradients']} backward passes, " if sampling["gradients"] else ""
    done = (
        f"{sounds} in {made.folder} ({sampling['steps']} steps, NFE {sampling['nfe']}, {passes}"
        f"{sampling['network_items']} network items, {sampling['seconds']:.1f} s)"
    )
    click.echo("; ".join([done, *made.remarks]))

"""`kernel run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kernel.cli._settings import shared
from kernel.cli.locked import compared, repeatable, settle

EPILOG = """\b
Examples:
  kernel run --plugins edm,unipc
  kernel run --plugins rf,heun --steps 32 --seed 7
  kernel run --plugins edm,unipc -o solver.predictor_order=2 -o task.label=7 --count 4
  kernel run --model trainings/digits/model --plugins schedule.rf,dpmpp-2m
  kernel run --from runs/edm-unipc-1 --seed 7
  kernel run -c night.toml --locked

Kinds that are not named come from the model's recommendation; with no model named, the first one
that was trained with the named components is taken.
"""


@click.command(epilog=EPILOG)
@shared
@click.option(
    "-m", "--model", help="A model of `kernel models` or a trained folder, e.g. -m digits-rf."
)
@click.option("--steps", type=int, help="Solver steps, e.g. --steps 32.  [default: the model's]")
@click.option("-n", "--count", type=int, help="Sounds to make, e.g. -n 100.  [default: 10]")
@click.option(
    "--batch", type=int, help="Sounds made at once, e.g. --batch 64; changes none.  [default: 16]"
)
@click.option(
    "--noise",
    type=click.Choice(["independent", "brownian"]),
    help="Noise of a stochastic solver; that of a Brownian path is the same on finer grids.  "
    "[default: independent]",
)
@click.option(
    "-i",
    "--input",
    "inputs",
    type=click.Path(path_type=Path),
    multiple=True,
    help="An audio file, for tasks that take any, e.g. -i song.wav (may be repeated).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where runs go, e.g. --out /tmp.  [default: runs]",
)
@click.option(
    "--name", help="The run's folder, e.g. --name night.  [default: plugins and a number]"
)
@click.option("--cuda-graph/--no-cuda-graph", default=None, help="Replay the network on CUDA.")
@repeatable
@click.option("--json", "as_json", is_flag=True, help="Print the run's record for programs.")
def command(
    config: Path | None,
    options: tuple[str, ...],
    inputs: tuple[Path, ...],
    source: Path | None,
    locked: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Generate sounds: WAV files, spectrograms, a page to listen on and a record."""
    from kernel.cli._header import show
    from kernel.cli._progress import Bar
    from kernel.config import RunConfig
    from kernel.registry import Registry
    from kernel.repeat import RUN, read_record
    from kernel.runner.plan import plan_run

    values["inputs"] = inputs or None
    before = None if source is None else (source, read_record(source, RUN))
    settings = settle(RunConfig, config, before, values, options)
    plan = plan_run(settings, Registry.scan(settings.prefer))
    plan = compared(plan, settings, config, before, locked)
    if before is not None:
        # A run is named after what was typed, the first time and ever after.
        typed = (*before[1].config.get("plugins", ()), *(values["plugins"] or ()))
        settings = settings.model_copy(update={"plugins": typed})
    if not as_json:
        show(plan)
    from kernel.runner.libraries import check_pair

    check_pair()
    from kernel.runner.run import execute, folder_for

    folder = folder_for(settings, plan)
    bar = Bar(what="sampling")
    said: list[str | None] = []
    try:
        record = execute(settings, plan, folder, (bar, *plan.assembly.observers), said.append)
    finally:
        bar.close()
    if as_json:
        import json

        click.echo(json.dumps(record | {"folder": str(folder)}, indent=2))
        return
    if record["scores"]:
        from kernel.cli._scores import scores

        click.echo(scores(record["scores"]))
    sampling = record["sampling"]
    sounds = "1 sound" if sampling["count"] == 1 else f"{sampling['count']} sounds"
    done = (
        f"{sounds} in {folder} ({sampling['steps']} steps, NFE {sampling['nfe']}, "
        f"{sampling['seconds']:.1f} s)"
    )
    click.echo("; ".join([done, *filter(None, said)]))

"""`kernel run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kernel.cli._settings import configured
from kernel.cli.locked import compared, repeatable, settle
from kernel.cli.table import scores, to_json
from kernel.config import RunConfig

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
@configured(RunConfig, "model", "steps", "count", "batch", "inputs", "out", "name", "cuda_graph")
@repeatable
@click.option("--json", "as_json", is_flag=True, help="Print the run's record for programs.")
def command(
    config: Path | None,
    options: tuple[str, ...],
    source: Path | None,
    locked: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Generate sounds: WAV files, spectrograms, a page to listen on and a record."""
    from kernel.cli._header import show
    from kernel.cli._progress import Bar
    from kernel.registry import Registry
    from kernel.repeat import RUN, read_record
    from kernel.runner.plan import plan_run

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
        click.echo(to_json(record | {"folder": str(folder)}))
        return
    for note in record["warnings"][len(plan.notes) :]:
        click.echo(f"note: {note}", err=True)
    if record["scores"]:
        click.echo(scores(record["scores"]))
    sampling = record["sampling"]
    sounds = "1 sound" if sampling["count"] == 1 else f"{sampling['count']} sounds"
    done = (
        f"{sounds} in {folder} ({sampling['steps']} steps, NFE {sampling['nfe']}, "
        f"{sampling['seconds']:.1f} s)"
    )
    click.echo("; ".join([done, *filter(None, said)]))

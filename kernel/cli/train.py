"""`kernel train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kernel.cli._settings import configured
from kernel.cli.locked import compared, repeatable, settle
from kernel.config import TrainConfig, load

EPILOG = """\b
Examples:
  kernel train --plugins edm,dit,mel,labelled -o task.path=digits --out trainings/digits
  kernel train --resume trainings/digits
  kernel train --model digits-edm --plugins lora -o task.path=voice --out trainings/voice
  kernel train --from trainings/digits --seed 1 --out trainings/digits-1
  kernel run --model trainings/digits/model --plugins unipc

Name a solver and guidances too, and the trained model recommends them. Every setting of
`kernel.config.TrainConfig` can stand in the TOML file.
"""


@click.command(epilog=EPILOG)
@configured(TrainConfig, "model", "steps", "batch", "learning_rate", "out")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Go on with a training and its settings, e.g. --resume trainings/drums.",
)
@repeatable
def command(
    config: Path | None,
    options: tuple[str, ...],
    resume: Path | None,
    source: Path | None,
    locked: bool,
    **values: Any,
) -> None:
    """Train a model on a task's data, resumable at any moment."""
    from kernel.cli._header import show
    from kernel.cli._progress import Bar
    from kernel.errors import UsageError
    from kernel.registry import Registry
    from kernel.repeat import TRAINING, Record, read_record
    from kernel.runner.plan import plan_training

    before: tuple[Path, Record] | None = None
    if resume is not None:
        given = sorted(name for name, value in values.items() if value is not None)
        if config or options or source or set(given) - {"device"}:
            raise UsageError(
                "--resume takes every setting from the training's folder; leave the others out"
            )
        before = (resume, record := read_record(resume, TRAINING))
        values = record.config | {"out": resume, "device": values["device"] or "auto"}
        settings = load(TrainConfig, None, values)
    else:
        if source is not None:
            before = (source, read_record(source, TRAINING))
        settings = settle(TrainConfig, config, before, values, options)
    plan = plan_training(settings, Registry.scan(settings.prefer))
    plan = compared(plan, settings, config, before, locked)
    from kernel.runner.libraries import check_pair

    check_pair()
    from kernel.runner.train import check_folder, execute

    check_folder(settings.out, resume is not None)
    show(plan)
    bar = Bar(what="training")
    said: list[str | None] = []
    try:
        made = execute(settings, plan, (bar, *plan.assembly.observers), said.append)
    finally:
        bar.close()
    solver = "" if plan.selection.of("solver") else " --plugins SOLVER"
    done = (
        f"{made['parameters'] / 1e6:.2f} M parameters, {settings.steps} steps; "
        f"try: kernel run --model {settings.out / 'model'}{solver}"
    )
    click.echo("; ".join([done, *filter(None, said)]))

"""Train a model, or go on with a training."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from kernel import Command, hookimpl
from kernel.api import settled
from kernel.cli import installed
from kernel.cli.settings import configured, repeatable
from kernel.registry import Registry
from kernel_audio_training import api
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.plan import TrainingPlan, plan_training

EPILOG = """\b
Examples:
  kernel train --plugins edm,dit,mel,labelled -o task.path=digits --out trainings/digits
  kernel train --resume trainings/digits
  torchrun --nproc-per-node 2 -m kernel train -c digits.toml --out trainings/digits
  kernel train --model digits-edm --plugins lora -o task.path=voice --out trainings/voice
  kernel train --init digits-edm --plugins edm,unet,mel,labelled -o task.path=more
  kernel train --from trainings/digits --seed 1 --out trainings/digits-1
  kernel run --model trainings/digits/model --plugins unipc

Name a solver and guidances too, and the trained model recommends them. Every setting of
`kernel_audio_training.TrainConfig` can stand in the TOML file.
"""


SETTINGS = (
    *("model", "init", "freeze", "steps", "batch", "learning_rate", "workers", "latent_cache"),
    *("buckets", "checkpoint_every", "validate_every", "sample_every", "average", "out"),
)


@click.command(epilog=EPILOG)
@configured(TrainConfig, *SETTINGS)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Go on with a training and its settings, e.g. --resume trainings/drums.",
)
@repeatable
def train(plugins: tuple[str, ...] | None, **values: Any) -> None:
    """Train a model on a task's data, resumable at any moment."""
    from kernel.cli.header import show
    from kernel.cli.progress import Bar

    with closing(Bar(what="training")) as bar:
        made = api.train(
            plugins or (), observers=(bar,), planned=show, registry=installed(), **values
        )
    if made.rank:
        return
    solver = "" if "solver" in {each["kind"] for each in made.record["plugins"]} else " SOLVER"
    done = (
        f"{made.record['parameters'] / 1e6:.2f} M parameters, {made.record['config']['steps']} "
        f"steps; try: kernel run --model {made.model}{solver and ' --plugins' + solver}"
    )
    click.echo("; ".join([done, *made.remarks]))


class Train(Command):
    """Train a model, or go on with a training."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return train

    def call(self, *given: Any, **settings: Any) -> Any:
        """Train from Python, as `kernel_audio_training.train` does."""
        return api.train(*given, **settings)

    def plan(self, file: Path, registry: Registry) -> tuple[TrainConfig, TrainingPlan]:
        """Return the settings of a training in a file, and their plan."""
        settings = settled(TrainConfig, registry, file)
        return settings, plan_training(settings, registry.preferring(settings.prefer))


@hookimpl
def command() -> type[Command]:
    """Offer `train`."""
    return Train

"""A training from Python: what `kernel train` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel.api import Training, settled
from kernel.config import load as load_settings
from kernel.errors import UsageError
from kernel.files import claimed
from kernel.registry import Registry
from kernel.repeat import TRAINING, Record, read_record
from kernel.runner.libraries import check_pair, guarded
from kernel.runner.locked import compared
from kernel.runner.plan import Plan
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.plan import plan_training

if TYPE_CHECKING:
    from kernel.kinds.observer import Observer

__all__ = ["train"]


def train(
    plugins: Sequence[str] = (),
    *,
    options: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    source: str | Path | None = None,
    resume: str | Path | None = None,
    locked: bool = False,
    observers: Sequence[Observer] = (),
    planned: Callable[[Plan], object] | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> Training:
    """Train a model into the folder `out`, as `kernel train` does.

    resume: the folder of a training to go on with; of its settings `device`, `learning_rate` and
    the others of `TrainConfig.resumable` may change. settings: fields of TrainConfig. Everything
    else is as for `run`. Processes that torchrun started, or that have a default process group,
    train together; process 0 has the observers and writes.
    """
    registry = registry or Registry.scan()
    file = None if config is None else Path(config)
    values = settings | {"plugins": tuple(plugins) or None}
    before: Record | None
    if resume is not None:
        given = {name for name, value in values.items() if value is not None}
        strange = sorted(given - TrainConfig.resumable)
        if config or options or source or strange:
            raise UsageError(
                f"--resume takes every setting from the training's folder but "
                f"{', '.join(sorted(TrainConfig.resumable))}; leave "
                f"{', '.join(strange) or 'the others'} out"
            )
        before = read_record(Path(resume), TRAINING)
        own = before.config | {"device": "auto"} | {name: values[name] for name in given}
        asked = load_settings(TrainConfig, None, own | {"out": Path(resume)})
    else:
        before = None if source is None else read_record(Path(source), TRAINING)
        asked = settled(TrainConfig, registry, file, before, values, options)
    plan = plan_training(asked, registry.preferring(asked.prefer))
    plan = compared(plan, asked, file, before, locked)
    check_pair()
    from kernel.runner.processes import joined
    from kernel_audio_training.execution import check_folder, execute, tidy

    said: list[str | None] = []
    with joined() as processes, guarded(), ExitStack() as held:
        check_folder(asked.out, resume is not None)
        if processes.first:
            held.enter_context(claimed(asked.out, "being trained"))
            tidy(asked.out)
        if planned is not None and processes.first:
            planned(plan)
        watching = (*observers, *plan.assembly.observers) if processes.first else ()
        record = execute(asked, plan, watching, said.append, processes)
    return Training(asked.out, record, tuple(filter(None, said)), processes.rank)

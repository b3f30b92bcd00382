"""A whole training: from a plan to a folder that `kernel run --model` takes."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import torch
from torch import Tensor

from kernel.assembly import Assembly
from kernel.errors import MisfitError, OutputError, UsageError
from kernel.files import CLAIM, output_error
from kernel.kinds.codec import Codec, CodecModule
from kernel.kinds.observer import Observer
from kernel.kinds.task import Dataset
from kernel.record import write_json
from kernel.repeat import TRAINING, read_record
from kernel.runner.device import Machine
from kernel.runner.locked import check_alike
from kernel.runner.processes import ALONE, Processes
from kernel.seeds import shuffled
from kernel.standardised import measured
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.loading import one_thread
from kernel_audio_training.model import check_merge, check_place, write_model
from kernel_audio_training.plan import TrainingPlan
from kernel_audio_training.trainer import Trainer

HEARD = 4096
"""Items at most that a codec is fitted to before the first step."""

HALF = ".partial-"
"""A part of the name of what is not yet written whole."""


def check_folder(folder: Path, resume: bool) -> None:
    """Check that a training may go to a folder, or go on in it.

    Raises OutputError for a folder with something else in it. Nothing is made or removed.
    """
    if not (folder / TRAINING).exists():
        found = sorted(folder.iterdir()) if folder.is_dir() else [folder] * folder.exists()
        found = [each for each in found if each.name != CLAIM and HALF not in each.name]
        if found:
            raise OutputError(
                f"{folder} is no folder of a training and {found[0]} is there already; choose "
                f"another --out, or move it away"
            )
    elif not resume:
        raise OutputError(
            f"{folder} holds a training already; add --resume to go on with it, or choose "
            f"another --out"
        )
    check_place(folder)


def tidy(folder: Path) -> None:
    """Remove what a killed training left half written in a folder that this process holds."""
    for partial in list(folder.rglob(f".*{HALF}*")):
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def execute(
    config: TrainConfig,
    plan: TrainingPlan,
    observers: Sequence[Observer] = (),
    tell: Callable[[str | None], object] = lambda said: None,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Train what `plan` describes into `config.out`, and leave the model there.

    A checkpoint that is there already is resumed from. Returns the training's record. `tell` is
    called with what each observer says when it has finished. A training that is refused leaves
    nothing behind. Of several processes the first alone writes.
    """
    folder = config.out
    processes.rows(config.batch)
    machine = Machine.choose(config, processes=processes)
    assembly = plan.assembly
    if resumed := (folder / TRAINING).exists():
        # The data decided these when the training was begun.
        fitted = read_record(folder, TRAINING).fitted
        for each in (assembly.task, assembly.codec):
            assembly = assembly.swap(type(each).model_validate(fitted[each.kind]))
    else:
        assembly = assembly.swap(assembly.task.resolve())
    with one_thread():
        data = assembly.task.dataset("train")
    pack = plan.pack
    if pack and pack.manifest.network and assembly.condition != pack.condition:
        raise MisfitError(
            f"the task's condition is {assembly.condition}, but the network of model {pack.name} "
            f"takes {pack.condition}; train on with a task that gives the same"
        )
    if pack is None and plan.codec is None and not resumed:
        assembly = assembly.swap(_fitted(assembly, data, processes))
    if "backbone" in assembly.recipe.trains:
        check_merge(assembly)
    if "codec" in assembly.recipe.trains and (around := assembly.wrappers("codec")):
        raise UsageError(
            f"{around[0].info.spelling} wraps the codec that is to be trained; leave it out"
        )
    # Facts are those of the user's plan; options that the data decides stand in `fitted`.
    facts = plan.facts(config, machine)
    plan = attrs.evolve(plan, assembly=assembly)
    held = assembly.task.dataset("valid") if config.validate_every != 0 else None
    trainer = Trainer(assembly, data, config, machine, observers, plan.companion, held, processes)
    trained = (each for each in trainer.exports.parameters() if each.requires_grad)
    record = {
        "parameters": sum(each.numel() for each in trained),
        **facts,
        "fitted": {
            each.kind: each.model_dump(mode="json") for each in (assembly.codec, assembly.task)
        },
        "data": list(assembly.task.describe(data)),
        "started": list(plan.started),
    }
    for sentence in () if resumed or not processes.first else plan.started:
        warnings.warn(sentence, stacklevel=2)
    check_alike(record, processes)
    trainer.resume(folder)
    if processes.first:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(folder, error) from error
        record = continued(record, folder / TRAINING, trainer.step)
        write_json(folder / TRAINING, record)
    for observer in observers:
        observer.started(folder, record)
    loss = trainer.run(folder)
    exports = trainer.averaged(folder)
    if processes.first:
        if "backbone" not in exports:
            module = cast("CodecModule", exports["codec"].eval())
            mean, std = measured(module, (machine.put(audio)[None] for audio in _heard(data)))
            codec = assembly.codec.model_copy(update={"mean": mean, "std": std})
            plan = attrs.evolve(plan, assembly=assembly.swap(codec))
        write_model(config, plan, exports, trainer.codec, loss)
    for observer in observers:
        tell(observer.finished(folder))
    processes.barrier()
    if skipped := trainer.skipped:
        first, more = next(iter(skipped)), f" and {len(skipped) - 1} more" * (len(skipped) > 1)
        tell(f"{skipped.total()} times another item stood in: {first}{more}")
    return record


def _fitted(assembly: Assembly, data: Dataset, processes: Processes) -> Codec:
    """Return the codec with what it takes from the data; the first process alone reads it."""
    codec = assembly.codec

    def fit() -> str:
        return codec.fit(assembly.task.audio, _heard(data)).model_dump_json()

    return type(codec).model_validate_json(processes.told(fit))


def continued(record: dict[str, Any], path: Path, step: int) -> dict[str, Any]:
    """Return the record of a training that goes on at a step, with those before as `segments`.

    path: the record so far, if there is one. One that says the same is no segment of its own.
    """
    began = {"segments": [], "from_step": step}
    if not path.is_file():
        return record | began
    before = json.loads(path.read_text("utf-8"))
    kept = {name: before.pop(name, own) for name, own in (("segments", []), ("from_step", 0))}
    same = json.loads(json.dumps(record)) == before
    return record | (
        kept
        if same
        else {
            "segments": [*kept["segments"], before | {"from_step": kept["from_step"]}],
            "from_step": step,
        }
    )


def _heard(data: Dataset) -> Iterator[Tensor]:
    """Yield the audio [C, L] of a data set, without its padding; of a large one, a random part."""
    draws = torch.Generator().manual_seed(0)
    count = len(data)
    for index in range(min(count, HEARD)):
        item = data.item(index if count <= HEARD else shuffled(index, count, 0, "heard"), draws)
        if item.audio is not None:
            yield item.audio[:, : item.valid]

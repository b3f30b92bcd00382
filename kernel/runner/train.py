"""A whole training: from a plan to a folder that `kernel run --model` takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

from kernel._identity import paths
from kernel.assembly import Assembly
from kernel.checkpoint import write_tensors
from kernel.config import TrainConfig
from kernel.errors import InputError, MisfitError, OutputError, UsageError
from kernel.files import output_error, staged
from kernel.kinds import accumulates
from kernel.kinds.codec import Codec
from kernel.kinds.model import Manifest, Trained
from kernel.kinds.observer import Observer
from kernel.kinds.task import Dataset, Task
from kernel.models import FOLDER, MANIFEST, WEIGHTS
from kernel.record import write_json
from kernel.repeat import TRAINING, read_record
from kernel.runner.device import Machine
from kernel.runner.merge import check_merge, merged
from kernel.runner.plan import Plan
from kernel.runner.training import Trainer

RESUMABLE = {"out", "checkpoint_every", "keep", "device"}
"""Settings that may differ when a training is resumed, because no weight depends on them."""


def read_config(folder: Path) -> dict[str, Any]:
    """Return the settings that the training in `folder` was started with."""
    if not (folder / TRAINING).is_file():
        raise InputError(f"{folder} holds no training to resume ({TRAINING} is missing)")
    return read_record(folder, TRAINING).config


def open_folder(config: TrainConfig, resume: bool) -> None:
    """Make the training's folder, or check that the one that is there is being resumed.

    Raises OutputError for a folder in use and UsageError for settings that changed since.
    """
    folder = config.out
    if (folder / TRAINING).exists():
        if not resume:
            raise OutputError(
                f"{folder} holds a training already; add --resume to go on with it, or choose "
                f"another --out"
            )
        before, now = read_config(folder), config.model_dump(mode="json")
        changed = sorted(key for key in now if now[key] != before.get(key) and key not in RESUMABLE)
        if changed:
            raise UsageError(
                f"{folder} was started with another {changed[0]} ({before.get(changed[0])!r}, now "
                f"{now[changed[0]]!r}); resume with the same, or choose another --out"
            )
        for partial in (folder / "checkpoints").glob(".*.partial-*"):
            shutil.rmtree(partial, ignore_errors=True)
        return
    if resume:
        read_config(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def execute(
    config: TrainConfig,
    plan: Plan,
    observers: Sequence[Observer] = (),
    tell: Callable[[str | None], object] = lambda said: None,
) -> dict[str, Any]:
    """Train what `plan` describes into `config.out`, and leave the model there.

    A checkpoint that is there already is resumed from. Returns the training's record. `tell` is
    called with what each observer says when it has finished.
    """
    folder = config.out
    machine = Machine.choose(config)
    resumed = (folder / TRAINING).exists()
    assembly = plan.assembly
    assembly = _recalled(assembly, folder) if resumed else assembly.swap(assembly.task.resolve())
    data = assembly.task.dataset("train")
    if plan.pack is not None and assembly.condition != plan.pack.condition:
        raise MisfitError(
            f"the task's condition is {assembly.condition}, but the network of model "
            f"{plan.pack.name} takes {plan.pack.condition}; train on with a task that gives the "
            f"same"
        )
    if plan.pack is None and not resumed:
        assembly = _fitted(assembly, data)
    if "backbone" in assembly.recipe.trains:
        check_merge(assembly)
    fitted = attrs.evolve(plan, assembly=assembly)
    trainer = Trainer(assembly, data, config, machine, observers, fitted.companion)
    record = {
        "parameters": trainer.parameters,
        **plan.facts(config, machine),
        "fitted": {kind.kind: assembly.get(kind).model_dump(mode="json") for kind in (Codec, Task)},
    }
    write_json(folder / TRAINING, record)
    for observer in observers:
        observer.started(folder, record)
    trainer.resume(folder)
    loss = trainer.run(folder, record)
    _write_model(config, fitted, trainer, loss)
    for observer in observers:
        tell(observer.finished(folder))
    return record


def _recalled(assembly: Assembly, folder: Path) -> Assembly:
    """Return the assembly with what the data decided when the training in `folder` was begun."""
    fitted = read_record(folder, TRAINING).fitted
    for component in (assembly.task, assembly.codec):
        assembly = assembly.swap(type(component).model_validate(fitted[component.kind]))
    return assembly


def _fitted(assembly: Assembly, data: Dataset) -> Assembly:
    """Return the assembly with its codec fitted to the data."""
    draws = torch.Generator().manual_seed(0)
    items = (data.item(index, draws) for index in range(len(data)))
    audio = (item.audio[:, : item.valid] for item in items if item.audio is not None)
    return assembly.swap(assembly.codec.fit(assembly.task.audio, audio))


def _write_model(config: TrainConfig, plan: Plan, trainer: Trainer, loss: float | None) -> None:
    """Write the weights of what the recipe exports, and the manifest of a network."""
    folder, exports = config.out / FOLDER, trainer.exports
    weights = {f"{kind}.safetensors": trainer.averaged(kind) for kind in exports}
    manifest = None
    if "backbone" in exports:
        average = weights.pop("backbone.safetensors")
        network, staying = merged(plan.assembly, exports["backbone"], trainer.codec, average)
        weights[WEIGHTS] = network.state_dict()
        manifest = _manifest(config, plan, network, staying, loss)
    if folder.exists():
        shutil.rmtree(folder)
    with staged(folder) as stage:
        if manifest is not None:
            (stage / MANIFEST).write_text(manifest.toml(), "utf-8")
        for name, tensors in weights.items():
            half = {
                each: value.half() if value.is_floating_point() else value
                for each, value in tensors.items()
            }
            write_tensors(stage / name, half, {"format": "pt"})


def _manifest(
    config: TrainConfig, plan: Plan, network: nn.Module, staying: set[str], loss: float | None
) -> Manifest:
    assembly, parent = plan.assembly, plan.pack
    plugins: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    for part in assembly.parts:
        kind, component = part.info.kind, part.component
        if kind == "observer" or (kind == "wrapper" and part.info.spelling not in staying):
            continue
        left_out = set(paths(component))
        given = component.portable().model_dump(mode="json", exclude=left_out, exclude_none=True)
        if accumulates(kind):
            plugins.setdefault(kind, []).append(part.info.name)
            options |= {part.info.spelling: given} if given else {}
        else:
            plugins[kind] = part.info.name
            options |= {kind: given} if given else {}
    owners = {
        part.info.spelling: part.info.distribution
        for part in assembly.parts
        if part.info.kind in plugins
    }
    schedule, parts = assembly.schedule, attrs.asdict(assembly.condition)
    return Manifest(
        format=1,
        title=config.title or config.out.name,
        description=config.description,
        licence=config.licence or (parent.manifest.licence if parent else ""),
        attribution=config.attribution or (parent.manifest.attribution if parent else ""),
        parameters=sum(each.numel() for each in network.parameters()),
        plugins=plugins,
        distributions=owners,
        parts=plan.origins,
        options=options,
        tasks=config.tasks,
        steps=config.sampling_steps or (parent.manifest.steps if parent else 16),
        trained=Trained(
            sigma_min=schedule.sigma_min,
            sigma_max=schedule.sigma_max,
            condition_dropout=config.condition_dropout,
            steps=config.steps,
            batch=config.batch,
            seed=config.seed,
            sample_rate=assembly.task.audio.sample_rate,
            channels=assembly.task.audio.channels,
            condition={part: width for part, width in parts.items() if width},
            loss=loss,
            parent=parent.heritage if parent else {},
        ),
    )

"""A whole training: from a plan to a folder that `kernel run --model` takes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn

from kernel._identity import paths
from kernel.assembly import Assembly
from kernel.checkpoint import write_tensors
from kernel.config import TrainConfig
from kernel.errors import InputError, MisfitError, OutputError, UsageError
from kernel.files import output_error, staged
from kernel.kinds import accumulates
from kernel.kinds.codec import Codec, CodecModule, TrainedCodec
from kernel.kinds.model import Manifest, Trained
from kernel.kinds.observer import Observer
from kernel.kinds.task import Dataset, Task
from kernel.models import CODEC, FOLDER, MANIFEST, WEIGHTS
from kernel.record import write_json
from kernel.repeat import TRAINING, read_record
from kernel.runner.device import Machine
from kernel.runner.merge import check_merge, merged
from kernel.runner.plan import Plan
from kernel.runner.training import Trainer
from kernel.standardised import measured

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
    pack = plan.pack
    if pack and pack.manifest.network and assembly.condition != pack.condition:
        raise MisfitError(
            f"the task's condition is {assembly.condition}, but the network of model {pack.name} "
            f"takes {pack.condition}; train on with a task that gives the same"
        )
    if pack is None and plan.codec is None and not resumed:
        assembly = assembly.swap(assembly.codec.fit(assembly.task.audio, _heard(data)))
    if "backbone" in assembly.recipe.trains:
        check_merge(assembly)
    if "codec" in assembly.recipe.trains and (around := assembly.wrappers("codec")):
        raise UsageError(
            f"{around[0].info.spelling} wraps the codec that is to be trained; leave it out"
        )
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
    if "backbone" not in trainer.exports:
        fitted = attrs.evolve(plan, assembly=_measured(assembly, data, trainer, machine))
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


def _heard(data: Dataset) -> Iterator[Tensor]:
    """Yield the audio [C, L] of a data set, without its padding."""
    draws = torch.Generator().manual_seed(0)
    for index in range(len(data)):
        item = data.item(index, draws)
        if item.audio is not None:
            yield item.audio[:, : item.valid]


def _measured(assembly: Assembly, data: Dataset, trainer: Trainer, machine: Machine) -> Assembly:
    """Return the assembly with a codec that knows mean and deviation of its trained latents."""
    module = trainer.exports["codec"].eval()
    module.load_state_dict(trainer.averaged("codec"))
    sounds = (machine.put(audio)[None] for audio in _heard(data))
    mean, std = measured(cast(CodecModule, module), sounds)
    return assembly.swap(assembly.codec.model_copy(update={"mean": mean, "std": std}))


def _write_model(config: TrainConfig, plan: Plan, trainer: Trainer, loss: float | None) -> None:
    """Write the manifest, and the weights of what the recipe exports.

    Weights of a codec that no installed pack has are copied, so that others find them too.
    """
    folder, exports = config.out / FOLDER, trainer.exports
    weights = {f"{kind}.safetensors": trainer.averaged(kind) for kind in exports}
    model, staying = exports.get("codec", trainer.codec), set[str]()
    if "backbone" in exports:
        average = weights.pop("backbone.safetensors")
        model, staying = merged(plan.assembly, exports["backbone"], trainer.codec, average)
        weights[WEIGHTS] = model.state_dict()
    frozen = None if "codec" in exports else plan.codec
    copied = frozen is not None and (frozen is plan.pack or frozen.info is None)
    codec = plan.assembly.codec
    if isinstance(codec, TrainedCodec):
        name = frozen.info.name if frozen and frozen.info and not copied else None
        codec = codec.model_copy(update={"pack": name})
        plan = attrs.evolve(plan, assembly=plan.assembly.swap(codec))
    manifest = _manifest(config, plan, model, staying, loss)
    if frozen is not None:
        given = frozen.manifest.trained.codec if frozen is plan.pack else frozen.codec_heritage
        trained = manifest.trained.model_copy(update={"codec": given})
        manifest = manifest.model_copy(update={"trained": trained})
    if folder.exists():
        shutil.rmtree(folder)
    with staged(folder) as stage:
        (stage / MANIFEST).write_text(manifest.toml(), "utf-8")
        for name, tensors in weights.items():
            half = {
                each: value.half() if value.is_floating_point() else value
                for each, value in tensors.items()
            }
            write_tensors(stage / name, half, {"format": "pt"})
        if frozen is not None and copied:
            shutil.copyfile(frozen.codec, stage / CODEC)


def _manifest(
    config: TrainConfig, plan: Plan, model: nn.Module, staying: set[str], loss: float | None
) -> Manifest:
    assembly, parent = plan.assembly, plan.pack
    plugins: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    alone = "backbone" not in assembly.recipe.trains
    for part in assembly.parts:
        kind, component = part.info.kind, part.component
        if kind == "observer" or (kind == "wrapper" and part.info.spelling not in staying):
            continue
        if alone and kind not in ("codec", "task"):
            continue
        left_out = set(paths(component))
        given = component.portable().model_dump(mode="json", exclude=left_out, exclude_none=True)
        if accumulates(kind):
            plugins.setdefault(kind, []).append(part.info.name)
        else:
            plugins[kind] = part.info.name
        if given:
            options[part.info.spelling if accumulates(kind) else kind] = given
    owners = {
        part.info.spelling: part.info.distribution
        for part in assembly.parts
        if part.info.kind in plugins
    }
    sampled = {} if alone else _sampled(assembly, config)
    return Manifest(
        format=1,
        title=config.title or config.out.name,
        description=config.description,
        licence=config.licence or (parent.manifest.licence if parent else ""),
        attribution=config.attribution or (parent.manifest.attribution if parent else ""),
        parameters=sum(each.numel() for each in model.parameters()),
        plugins=plugins,
        distributions=owners,
        parts=plan.origins,
        options=options,
        tasks=config.tasks,
        steps=0 if alone else config.sampling_steps or (parent.manifest.steps if parent else 16),
        trained=Trained(
            **sampled,
            steps=config.steps,
            batch=config.batch,
            seed=config.seed,
            sample_rate=assembly.task.audio.sample_rate,
            channels=assembly.task.audio.channels,
            loss=loss,
            parent=parent.heritage if parent else {},
        ),
    )


def _sampled(assembly: Assembly, config: TrainConfig) -> dict[str, Any]:
    """Return what a manifest says of a network's noise and condition."""
    parts = attrs.asdict(assembly.condition)
    return {
        "sigma_min": assembly.schedule.sigma_min,
        "sigma_max": assembly.schedule.sigma_max,
        "condition_dropout": config.condition_dropout,
        "condition": {part: width for part, width in parts.items() if width},
    }

"""The result of a training: the manifest of a model, and its weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor, nn

from kernel.assembly import Assembly, Part
from kernel.errors import NumericalError, OutputError, PluginError
from kernel.files import staged
from kernel.kinds import accumulates
from kernel.kinds._component import Component
from kernel.kinds.codec import TrainedCodec
from kernel.kinds.model import Manifest, Trained
from kernel.models import CODEC, FOLDER, MANIFEST, WEIGHTS, ModelPack
from kernel.provenance import describe
from kernel.runner.plan import Plan
from kernel.tensors import misfit, not_finite, write_tensors
from kernel_audio_training.config import TrainConfig

__all__ = ["check_merge", "check_place", "paths", "write_model"]


def paths(component: Component) -> dict[str, Any]:
    """Return the options that name places on this machine, which no model may hold."""
    return {name: value for name, value in component.portable() if _is_path(value)}


def _is_path(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_path, value.values()))
    if isinstance(value, tuple | list | set | frozenset):
        return any(map(_is_path, value))
    return isinstance(value, Path)


def check_merge(assembly: Assembly) -> None:
    """Undo the wrappers of a fresh network, before a training that ends with undoing them.

    Raises PluginError when what is left is not the backbone's own network.
    """
    if not (around := assembly.wrappers("backbone")):
        return
    condition = assembly.condition
    network, staying = assembly.unwrap("backbone", assembly.build_network(condition))
    if staying:
        return
    own = assembly.backbone.build(assembly.latent, condition)
    if unlike := misfit(network.state_dict(), own.state_dict()):
        name, left, wanted = unlike
        raise PluginError(
            f"{', '.join(part.info.qualified for part in around)} cannot be undone: {name!r} is "
            f"{left} after merge() and {wanted} in the backbone's own network; leave the wrapper "
            f"out, or have it mended"
        )


def check_place(training: Path) -> None:
    """Raise OutputError for something that no training wrote where the model will be."""
    folder = training / FOLDER
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    strange = sorted(found - {MANIFEST, WEIGHTS, CODEC} if MANIFEST in found else found)
    if strange or folder.is_file():
        raise OutputError(
            f"{folder} is where the trained model goes, and no training wrote "
            f"{folder.joinpath(*strange[:1])}; move it away, then kernel train --resume {training} "
            f"writes the model"
        )


def write_model(
    config: TrainConfig,
    plan: Plan,
    exports: Mapping[str, nn.Module],
    frozen: nn.Module,
    loss: float | None,
) -> None:
    """Write a manifest and, in float16, the weights of what a recipe exports, by kind.

    frozen: the codec's module. Weights of a codec that no installed pack has are copied, so that
    others find them too. A tensor with values that float16 cannot hold stays as it is. Raises
    NumericalError for a weight that is not finite, and OutputError where there is no place.
    """
    check_place(config.out)
    assembly = plan.assembly
    modules = {CODEC: exports["codec"]} if "codec" in exports else {}
    staying: tuple[Part, ...] = ()
    if "backbone" in exports:
        modules[WEIGHTS], staying = assembly.unwrap("backbone", exports["backbone"])
        # The model recommends a solver with its wrappers.
        staying += (*assembly.unwrap("codec", frozen)[1], *assembly.wrappers("solver"))
    pack = None if "codec" in exports else plan.codec
    named = pack.info.name if pack and pack.info and pack is not plan.pack else None
    if isinstance(assembly.codec, TrainedCodec):
        codec = assembly.codec.model_copy(update={"pack": named})
        plan = attrs.evolve(plan, assembly=assembly.swap(codec))
    *_, model = modules.values()
    count = sum(each.numel() for each in model.parameters())
    manifest = _manifest(config, plan, pack, staying, count, loss)
    with staged(config.out / FOLDER, replace=True) as stage:
        (stage / MANIFEST).write_text(manifest.toml(), "utf-8")
        for file, module in modules.items():
            weights = module.state_dict()
            if name := not_finite(weights, module):
                raise NumericalError(
                    f"no model is written, for its weight {name!r} is not finite; train anew with "
                    f"a lower learning_rate (kernel train --from {config.out} --out OTHER)"
                )
            write_tensors(stage / file, {name: _half(each) for name, each in weights.items()})
        if pack and not named:
            shutil.copyfile(pack.codec, stage / CODEC)


def _manifest(
    config: TrainConfig,
    plan: Plan,
    pack: ModelPack | None,
    staying: Sequence[Part],
    parameters: int,
    loss: float | None,
) -> Manifest:
    """Return what `model.toml` says; pack: the one that has the codec's weights, if any has."""
    assembly, parent = plan.assembly, plan.pack
    network = "backbone" in assembly.recipe.trains
    plugins: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {}
    owners: dict[str, str] = {}
    for part in assembly.parts:
        kind, info, component = part.info.kind, part.info, part.component
        left_out = kind == "observer" or (kind == "wrapper" and part not in staying)
        if left_out or not (network or kind in ("codec", "task")):
            continue
        many = accumulates(kind)
        plugins[kind] = [*plugins.get(kind, ()), info.name] if many else info.name
        owners[info.spelling] = info.distribution
        if given := component.portable().model_dump(
            mode="json", exclude=set(paths(component)), exclude_none=True
        ):
            options[info.spelling if many else kind] = given
    trained: dict[str, Any] = {"loss": loss}
    if network:
        trained |= {
            "sigma_min": assembly.schedule.sigma_min,
            "sigma_max": assembly.schedule.sigma_max,
            "condition_dropout": config.condition_dropout,
            "condition": {
                k: width for k, width in attrs.asdict(assembly.condition).items() if width
            },
        }
    if parent:
        trained["parent"] = parent.heritage
        # What watches a training is not what the model recommends.
        if observers := parent.manifest.names("observer"):
            plugins["observer"] = list(observers)
            spelt = (f"observer.{name}" for name in observers)
            known = parent.manifest.distributions
            owners |= {each: known[each] for each in spelt if each in known}
    if pack:
        trained["codec"] = pack.manifest.trained.codec if pack is parent else pack.codec_heritage
    return Manifest(
        title=config.title or config.out.name,
        description=config.description,
        licence=config.licence or (parent.manifest.licence if parent else ""),
        attribution=config.attribution or (parent.manifest.attribution if parent else ""),
        parameters=parameters,
        plugins=plugins,
        distributions=owners,
        parts=_origins(plan),
        options=options,
        tasks=config.tasks,
        steps=network and (config.sampling_steps or (parent.manifest.steps if parent else 16)),
        trained=Trained(
            steps=config.steps,
            batch=config.batch,
            seed=config.seed,
            sample_rate=assembly.task.audio.sample_rate,
            channels=assembly.task.audio.channels,
            **trained,
        ),
    )


def _origins(plan: Plan) -> dict[str, dict[str, str]]:
    """Return version and hash of the backbone and the codec."""
    return {
        part.info.kind: {"version": part.info.version, "hash": found}
        for part in plan.assembly.parts
        if part.info.kind in ("backbone", "codec")
        and (found := describe(part.info, plan.registry)["hash"])
    }


def _half(tensor: Tensor) -> Tensor:
    """Return a tensor in float16, if that is finite where the tensor is."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if half.isfinite().equal(tensor.isfinite()) else tensor

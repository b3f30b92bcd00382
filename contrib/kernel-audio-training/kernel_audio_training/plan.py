"""The plan of a training: every check that needs no computation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from kernel.assembly import Assembly
from kernel.codecs import furnish
from kernel.errors import UsageError
from kernel.kinds import base, training_kinds
from kernel.kinds.recipe import Recipe
from kernel.models import ModelPack, find_pack
from kernel.registry import Registry
from kernel.runner.plan import Plan, assembled, check_task, drift_of, named_pack
from kernel_audio_training.config import TrainConfig

if TYPE_CHECKING:
    from torch import nn

__all__ = ["TrainingPlan", "plan_training"]


@attrs.frozen
class TrainingPlan(Plan):
    """The plan of a training.

    start: the pack whose weights a new network starts from where they fit. started: what is new in
    the network and what was not taken, known when it was built.
    """

    start: ModelPack | None = None
    started: Sequence[str] = ()

    def read(self) -> dict[str, Path]:
        """Return the files and folders that are read, by the setting or option that names them."""
        return super().read() | ({"init": self.start.folder} if self.start else {})


def plan_training(config: TrainConfig, registry: Registry) -> TrainingPlan:
    """Return the plan of a training, from nothing or from the weights of a model.

    The training does not use a solver or guidances; the trained model recommends those named here.
    Raises UsageError, MisfitError or PluginError.
    """
    selection = registry.select(config.plugins)
    pack = None if config.model is None else named_pack(config.model, registry, selection)
    notes = [f"{new.qualified} replaces {old.qualified}" for old, new in selection.replaced]
    start = None
    if config.init is not None:
        if pack is not None:
            raise UsageError("a training starts from --model or from --init; leave one of them out")
        start = find_pack(registry, config.init)
        if not start.manifest.network:
            raise UsageError(f"model {start.name} is a trained codec and has no network to start")
    started: list[str] = []

    def load(network: nn.Module) -> None:
        from kernel_audio_training.start import start_from

        started[:] = start_from(start, network) if start else []

    assembly, selection = assembled(config, registry, selection, training_kinds(), pack, load)
    for kind in (*next(iter(assembly.all(Recipe)), Recipe).requires, "recipe"):
        if (required := base(kind)) is not None:
            assembly.get(required)
    codec, drift = furnish(assembly, registry, pack)
    check_task(assembly, pack, codec)
    if pack is not None:
        drift = (*drift_of(assembly, pack, registry), *drift)
    notes += (*assembly.notes, *drift)
    assembly.check(frozenset({"gradient", "null-condition", "measurement", "reference"}))
    _refuse_paths(assembly)
    more = (tuple(notes), (), drift, codec, start, started)
    return TrainingPlan(registry, selection, assembly, config.steps, pack, *more)


def _refuse_paths(assembly: Assembly) -> None:
    """Raise UsageError for an option with a path of this machine, which a model cannot hold.

    An observer is no part of a model; the paths of encoders and wrappers are left out of it.
    """
    from kernel_audio_training.model import paths

    for part in assembly.parts:
        if part.info.kind not in ("encoder", "observer", "wrapper"):
            for name, value in paths(part.component).items():
                raise UsageError(
                    f"{part.info.kind}.{name} is {str(value)!r}, a path of this machine, which the "
                    f"trained model cannot hold; leave it out, or have the author of "
                    f"{part.info.qualified} clear it in portable()"
                )

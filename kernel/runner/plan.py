"""Plans: every check that needs no computation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from kernel.assembly import Assembly, assemble
from kernel.codecs import furnish
from kernel.config import RunConfig, Settings
from kernel.errors import MisfitError, UsageError
from kernel.kinds import model_kinds, run_kinds, training_kinds
from kernel.kinds.backbone import Backbone
from kernel.kinds.objective import Objective
from kernel.models import ModelPack, find_pack, survey
from kernel.provenance import (
    content_hash,
    describe,
    describe_kernel,
    library_versions,
    requirements,
)
from kernel.registry import Registry, Selection
from kernel.runner.grid import grid

if TYPE_CHECKING:
    from torch import nn

    from kernel.runner.device import Machine

__all__ = ["Plan", "assembled", "check_task", "drift_of", "named_pack", "plan_run"]


@attrs.frozen
class Plan:
    """The components, the model, the steps and the notes of a run or a training."""

    registry: Registry
    selection: Selection
    assembly: Assembly
    steps: int
    pack: ModelPack | None = None
    notes: tuple[str, ...] = ()
    inputs: tuple[Path, ...] = ()
    drift: tuple[str, ...] = ()
    """The notes on parts that changed since the training, which `--locked` refuses."""
    codec: ModelPack | None = None
    """The pack that has the weights of a trained codec, which may be the model itself."""

    @property
    def model(self) -> ModelPack:
        """Return the model of a run. Raises ValueError for a training from nothing."""
        if self.pack is None:
            raise ValueError("the plan of a training has no model yet")
        return self.pack

    def companion(self, name: str) -> tuple[Objective, Backbone, nn.Module]:
        """Load a second model by its name; return its objective, backbone and network.

        It works on the latents of this one: the same codec, rate and channels, and conditions of
        the same width. Raises UsageError for an unknown name, MisfitError for an unlike
        of model, and InputError when its weights do not fit.
        """
        pack = find_pack(self.registry, name)
        nothing = self.registry.select(())
        told = self.pack.condition if self.pack else self.assembly.condition
        whole, _ = assemble(self.registry, nothing, run_kinds(), {}, pack.manifest, pack.load)
        for what, own, other in (
            ("codec", self.assembly.codec, whole.codec),
            ("audio", self.assembly.task.audio, whole.task.audio),
            ("condition", told, pack.condition),
            ("sigma_data", self.assembly.objective.sigma_data, whole.objective.sigma_data),
        ):
            if own != other:
                beside = self.pack.name if self.pack else "the one in training"
                raise MisfitError(
                    f"model {name} cannot be used beside {beside}: its {what} is {other}, not "
                    f"{own}; choose one that was trained alike"
                )
        return whole.objective, whole.backbone, whole.build_network(pack.condition)

    def facts(self, config: Settings, machine: Machine) -> dict[str, Any]:
        """Return the facts of a record that are known before anything is computed.

        They are the settings, the device, and the parts with owners, options and files.
        """
        pack = self.pack
        owners = {part.info.distribution for part in self.assembly.parts}
        owners |= {each.info.distribution for each in (pack, self.codec) if each and each.info}
        return {
            "config": config.model_dump(mode="json") | {"steps": self.steps},
            "device": machine.facts(),
            "versions": library_versions(),
            "kernel": describe_kernel(),
            "plugins": [
                describe(part.info, self.registry)
                | {"options": part.component.model_dump(mode="json")}
                for part in self.assembly.parts
            ],
            "replaced": [
                {"replaced": old.qualified, "by": new.qualified}
                for old, new in self.selection.replaced
            ],
            "wrapped": self.assembly.wrapped,
            "inputs": {
                name: {"path": str(path.absolute()), "hash": content_hash(path)}
                for name, path in self.read().items()
            },
            "requirements": requirements(owners),
            **({"model": pack.describe()} if pack else {}),
        }

    def read(self) -> dict[str, Path]:
        """Return the files and folders that are read, by the setting or option that names them.

        A path in an observer's options is a place to write.
        """
        found = {f"inputs.{number}": path for number, path in enumerate(self.inputs)}
        if self.pack and not self.pack.info:
            found["model"] = self.pack.folder
        if self.codec and self.codec is not self.pack:
            option = f"{self.assembly.spelling('codec')}.pack"
            place, folder = ("codec weights", self.codec.codec), (option, self.codec.folder)
            found |= [place if self.codec.info else folder]
        for part in self.assembly.parts:
            for name, value in part.component:
                if isinstance(value, Path) and part.info.kind != "observer":
                    found[f"{part.info.spelling}.{name}"] = value.expanduser()
        return found


def plan_run(config: RunConfig, registry: Registry) -> Plan:
    """Return the plan of a run.

    Where no model is named, packs that were trained with the selected parts are candidates. A pack
    that was made for the selected task, or lists it, comes first; then the order of names decides.
    Raises UsageError, MisfitError or PluginError before anything is computed or written.
    """
    selection = registry.select(config.plugins)
    unplayed = tuple(f"{kind}." for kind in set(training_kinds()) - set(run_kinds()))
    for spelling in config.plugins:
        if spelling.startswith(unplayed):
            raise UsageError(f"{spelling} serves trainings alone; leave it out of a run")
    notes = [f"{new.qualified} replaces {old.qualified}" for old, new in selection.replaced]
    pack, more = _choose_pack(config, registry, selection)
    if more:
        also = ", ".join(each.name for each in more)
        notes.append(f"model {pack.name} was taken; {also} would fit too (--model)")
    assembly, selection = assembled(config, registry, selection, run_kinds(), pack)
    for part in assembly.parts:
        if not part.component.played and part.info.name not in pack.manifest.names(part.info.kind):
            raise UsageError(
                f"{part.info.spelling} serves trainings alone, and model {pack.name} holds no "
                f"weights of it; leave it out, or `kernel train` with it and run what comes out"
            )
    codec, changed = furnish(assembly, registry, pack)
    notes += (*assembly.notes, *(drift := (*drift_of(assembly, pack, registry), *changed)))
    trained = pack.manifest.trained
    check_task(assembly, pack, codec)
    offered = set() if config.cuda_graph else {"gradient"}
    if trained.condition_dropout and assembly.condition:
        offered.add("null-condition")
    assembly.check(frozenset(offered))
    steps = config.steps or pack.manifest.steps
    sigmas = grid(assembly, steps, assembly.latent)[:-1]
    slack = 1.001
    if sigmas[0] > trained.sigma_max * slack or sigmas[-1] * slack < trained.sigma_min:
        # A schedule in the time of a process has its ends in that time.
        named = "sigma_max" in type(assembly.schedule).model_fields
        ends = "schedule.sigma_min and schedule.sigma_max" if named else "the ends of the schedule"
        notes.append(
            f"the schedule visits sigma {sigmas[-1]:.4g} to {sigmas[0]:.4g}, but {pack.name} was "
            f"trained from {trained.sigma_min:.4g} to {trained.sigma_max:.4g}; expect artefacts, "
            f"or set {ends}"
        )
    if assembly.solver.order > steps:
        (name,) = (info.spelling for info in selection.of("solver"))
        noun = "step is" if steps == 1 else "steps are"
        notes.append(
            f"{steps} {noun} too few for the order {assembly.solver.order} of {name}; take more, "
            f"or a solver of a lower order"
        )
    return Plan(
        registry, selection, assembly, steps, pack, tuple(notes), config.inputs, drift, codec
    )


def assembled(
    config: Settings,
    registry: Registry,
    selection: Selection,
    kinds: Sequence[str],
    pack: ModelPack | None,
    load: Callable[[nn.Module], None] | None = None,
) -> tuple[Assembly, Selection]:
    """Return the parts of some kinds, fitted together, and what was selected.

    load: gives a network without a model its first weights.
    """
    manifest, load = (None, load) if pack is None else (pack.manifest, pack.load)
    asked = (config.without, config.force_options)
    return assemble(registry, selection, kinds, config.options, manifest, load, *asked)


def drift_of(assembly: Assembly, pack: ModelPack, registry: Registry) -> tuple[str, ...]:
    """Return a sentence for each part that is not as it was when the model was trained with it."""
    return tuple(
        f"{part.info.qualified} {now['version']} is not what {pack.name} was trained with "
        f"({was.version}, {was.hash[:19]}, now {now['hash'] or 'unknown':.19})"
        for part in assembly.parts
        if (was := pack.manifest.parts.get(part.info.kind)) is not None
        and (now := describe(part.info, registry))["hash"] != was.hash
    )


def check_task(assembly: Assembly, pack: ModelPack | None, codec: ModelPack | None) -> None:
    """Raise MisfitError when the task's audio or condition differs from the model's."""
    for each in filter(None, (pack, codec)):
        for field, unit in (("sample_rate", " Hz"), ("channels", " channels")):
            wants, has = getattr(assembly.task.audio, field), getattr(each.manifest.trained, field)
            if wants != has:
                raise MisfitError(
                    f"the task works at {wants}{unit}, but model {each.name} was trained at "
                    f"{has}{unit}; set task.{field}={has}"
                )
    if pack is None or not pack.manifest.network:
        return
    for part, wants in attrs.asdict(assembly.condition).items():
        has = getattr(pack.condition, part)
        if wants not in (0, has):
            raise MisfitError(
                f"the task's condition has a {part} of width {wants}, but model {pack.name} was "
                f"trained with {has or 'none'}; choose the task that it was trained for"
            )


def _choose_pack(
    config: RunConfig, registry: Registry, selection: Selection
) -> tuple[ModelPack, list[ModelPack]]:
    """Return the pack of a run, and those that would do as well where none was named."""
    if config.model is not None:
        return named_pack(config.model, registry, selection, played=True), []
    every = [pack for pack in survey(registry)[0] if pack.manifest.network]
    if not every:
        raise UsageError(
            "no model is installed; install a distribution with a model pack, or name a trained "
            "folder with --model"
        )
    fits = [pack for pack in every if not pack.strangers(selection)]
    wanted = {info.name for info in selection.of("task")}
    made = [each for each in fits if wanted & {each.manifest.plugins["task"], *each.manifest.tasks}]
    if not fits:
        names = ", ".join(info.spelling for kind in model_kinds() for info in selection.of(kind))
        raise MisfitError(
            f"none of the {len(every)} installed models was trained with {names}; `kernel models` "
            f"lists the parts of each, `kernel train` makes a new one"
        )
    pack, *others = made or fits
    return pack, others


def named_pack(
    name: str, registry: Registry, selection: Selection, played: bool = False
) -> ModelPack:
    """Return a pack.

    Raises MisfitError when it was trained with another part than selected, and UsageError for a
    codec alone where a network is needed.
    """
    pack = find_pack(registry, name)
    strangers = pack.strangers(selection)
    if not pack.manifest.network and (played or any(each.kind != "codec" for each in strangers)):
        raise UsageError(
            f"model {pack.name} is a trained codec and has no network; name another model, or "
            f"train a network on its latents with -o codec.pack={name}"
        )
    for info in strangers:
        raise MisfitError(
            f"model {pack.name} was trained with {info.kind}.{pack.manifest.plugins[info.kind]}, "
            f"but {info.spelling} was selected; leave it out, or name a model that was trained "
            f"with it (`kernel models`)"
        )
    return pack

"""Selected plugins and their options, fitted together and checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import attrs
from pydantic import ValidationError

from kernel._identity import refuse_changes, trained_options
from kernel._load import Hooks, owned, wraps
from kernel._recommend import Completion, listening
from kernel.codecs import named_manifest
from kernel.config import explain
from kernel.errors import MisfitError, PluginError, UsageError, did_you_mean
from kernel.kinds._component import Component
from kernel.kinds.backbone import Backbone
from kernel.kinds.codec import Codec
from kernel.kinds.encoder import Encoder
from kernel.kinds.guidance import Guidance
from kernel.kinds.metric import Metric
from kernel.kinds.model import Manifest
from kernel.kinds.objective import Objective
from kernel.kinds.observer import Observer
from kernel.kinds.recipe import Recipe
from kernel.kinds.schedule import Schedule
from kernel.kinds.solver import Solver
from kernel.kinds.task import Task
from kernel.kinds.wrapper import Wrapper
from kernel.registry import PluginInfo, Registry, Selection
from kernel.values import ConditionSpec, LatentSpec

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Assembly", "Hooks", "Part", "assemble", "configure", "wraps"]

STAGES = ("mix", "project", "limit")

ComponentT = TypeVar("ComponentT", bound=Component)
BuiltT = TypeVar("BuiltT")

REMEDIES = {
    "gradient": "run without --cuda-graph",
    "measurement": "choose a task that knows something about the sound, such as an edit of a file",
    "null-condition": "choose a task with a condition and a model trained with condition dropout",
    "origin": "choose a task that starts from a recording",
    "reference": "choose a task that knows what the sound should be, or compare files with "
    "`kernel evaluate --reference`",
    "references": "compare folders with `kernel evaluate --reference`",
    "path": "choose an objective that is defined in a native time of its own",
    "two-times": "choose a backbone that takes two times, such as with backbone.times=2",
}


@attrs.frozen
class Part:
    """A component and the plugin that it came from."""

    info: PluginInfo
    component: Component


class One(Generic[ComponentT]):
    """The one component of a kind, as a property of an assembly."""

    def __init__(self, base: type[ComponentT]) -> None:
        self._base = base

    def __get__(self, assembly: Assembly, owner: type[Assembly]) -> ComponentT:
        """Return the component. Raises UsageError when nobody named one."""
        return assembly.get(self._base)


def _along(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return the parts with the schedule taken along the objective's path."""
    path = next(
        (each.component.path for each in parts if isinstance(each.component, Objective)), None
    )
    return tuple(
        attrs.evolve(part, component=part.component.along(path))
        if isinstance(part.component, Schedule)
        else part
        for part in parts
    )


@attrs.frozen
class Assembly:
    """The components of a run or a training, in the order of their kinds and names.

    Raises UsageError when an option of the schedule contradicts the objective's process.
    """

    parts: tuple[Part, ...] = attrs.field(converter=_along)
    hooks: Hooks = attrs.field(factory=Hooks, eq=False, repr=False)
    """The manager that the parts were loaded with; building asks it, and so every wrapper."""
    notes: tuple[str, ...] = ()
    """Notes on parts that differ from those of the training."""

    def get(self, base: type[ComponentT]) -> ComponentT:
        """Return the one component of a kind. Raises UsageError when nobody named one."""
        for found in self.all(base):
            return found
        raise UsageError(
            f"no {base.kind} was named and no model recommends one; add {base.kind}.NAME to "
            f"--plugins (`kernel plugins` lists them)"
        )

    def all(self, base: type[ComponentT]) -> tuple[ComponentT, ...]:
        """Return every component of a kind, in order."""
        return tuple(self.named(base).values())

    def named(self, base: type[ComponentT]) -> dict[str, ComponentT]:
        """Return every component of a kind by its name, in order."""
        found = ((part.info.name, part.component) for part in self.parts)
        return {name: each for name, each in found if isinstance(each, base)}

    def swap(self, component: Component) -> Assembly:
        """Return the assembly with the one component of that kind replaced by `component`."""
        parts = tuple(
            attrs.evolve(part, component=component)
            if part.component.kind == component.kind
            else part
            for part in self.parts
        )
        return attrs.evolve(self, parts=parts)

    def wrappers(self, kind: str) -> tuple[Part, ...]:
        """Return what stands around the component of a kind, from the inside."""
        return tuple(
            part
            for part in self.parts
            if isinstance(part.component, Wrapper)
            and f"build_{kind}" in wraps(type(part.component))
        )

    objective = One(Objective)
    schedule = One(Schedule)
    backbone = One(Backbone)
    codec = One(Codec)
    task = One(Task)
    recipe = One(Recipe)

    @cached_property
    def solver(self) -> Solver:
        """Return the solver, with what stands around it."""
        return self._build(self.get(Solver), Solver)

    @property
    def guidances(self) -> dict[str, Guidance]:
        """Return the guidances by name, in the order in which they take effect."""
        named = self.named(Guidance).items()
        return dict(sorted(named, key=lambda pair: (STAGES.index(pair[1].stage), pair[0])))

    @property
    def metrics(self) -> dict[str, Metric]:
        """Return the metrics by name."""
        return self.named(Metric)

    def encoder(self, spelling: str) -> tuple[str, Encoder]:
        """Return an encoder, with its qualified name. Raises PluginError when nobody names it."""
        found = Registry(tuple(part.info for part in self.parts)).find(spelling, "encoder")
        for part in self.parts:
            if part.info in found and isinstance(part.component, Encoder):
                return part.info.qualified, part.component
        raise PluginError(
            f"the encoder {spelling!r} is asked for by a component that does not declare it; its "
            f"property `encoders` has to return it"
        )

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Return the observers."""
        return self.all(Observer)

    @property
    def latent(self) -> LatentSpec:
        """Return the shape of a training item's latent."""
        return self.codec.latent(self.task.audio, self.task.samples)

    @property
    def condition(self) -> ConditionSpec:
        """Return how wide the parts of the task's condition are beside the codec's latents."""
        return self.task.condition.of(self.latent)

    def build_network(self, condition: ConditionSpec) -> nn.Module:
        """Return the backbone's network for the codec's latents, freshly initialised."""
        from torch import nn

        latent = self.latent
        if latent.dims not in self.backbone.dims:
            takes = " or ".join(f"{dims}-D" for dims in self.backbone.dims)
            raise MisfitError(
                f"{self.spelling('codec')} makes {latent.dims}-D latents but "
                f"{self.spelling('backbone')} takes {takes}; choose another of the two, or "
                f"another layout of the codec"
            )
        return self._build(self.backbone, nn.Module, latent=latent, condition=condition)

    def build_codec(self) -> nn.Module:
        """Return the codec's module for this task's audio."""
        from torch import nn

        return self._build(self.codec, nn.Module, audio=self.task.audio)

    @property
    def wrapped(self) -> dict[str, list[str]]:
        """Return the wrappers around each component that has any, from the inside."""
        return {
            part.info.qualified: [wrapper.info.qualified for wrapper in around]
            for part in self.parts
            if (around := self.wrappers(part.info.kind))
        }

    def unwrap(self, kind: str, module: nn.Module) -> tuple[nn.Module, tuple[Part, ...]]:
        """Return what stands in `module` of the wrappers around a kind, and those that stay.

        The outermost is undone first. A wrapper that cannot be undone stays, with those inside.
        """
        around = self.wrappers(kind)
        for number in range(len(around), 0, -1):
            inside = cast(Wrapper, around[number - 1].component).merge(module)
            if inside is None:
                return module, around[:number]
            module = inside
        return module, ()

    def check(self, offered: frozenset[str]) -> None:
        """Raise MisfitError for the first need that neither a component nor `offered` meets."""
        offers = offered.union(*(part.component.offers for part in self.parts))
        for part in self.parts:
            for name, encoder in map(self.encoder, part.component.encoders):
                if "gradient" in part.component.needs and not encoder.differentiable:
                    raise MisfitError(
                        f"{part.info.spelling} follows the gradient of {name}, which has none; "
                        f"name another encoder"
                    )
            for need in sorted(part.component.needs - offers):
                remedy = REMEDIES.get(need, f"choose a component that offers {need!r}")
                others = ", ".join(
                    other.info.spelling
                    for other in self.parts
                    if other.component is not part.component
                )
                nobody = f"none of {others} offers" if others else "nothing here offers"
                raise MisfitError(f"{part.info.spelling} needs {need!r}, which {nobody}; {remedy}")

    def _build(self, component: Component, wanted: type[BuiltT], **given: Any) -> BuiltT:
        (info,) = (part.info for part in self.parts if part.info.kind == component.kind)
        around = ", ".join(part.info.qualified for part in self.wrappers(component.kind))
        what = f"building it with {around} around it" if around else "building it"
        with owned(info, what, SystemExit):
            built = self.hooks.build(component, **given)
        if not isinstance(built, wanted):
            raise PluginError(
                f"{around or info.spelling} made {built!r:.80} of {info.spelling}, which is no "
                f"{wanted.__name__}; have it return what it was asked for"
            )
        return built

    def spelling(self, kind: str) -> str:
        """Return KIND.NAME of the one component of a kind."""
        return next(part.info.spelling for part in self.parts if part.info.kind == kind)


def assemble(
    registry: Registry,
    selection: Selection,
    kinds: Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    manifest: Manifest | None = None,
    load: Callable[[nn.Module], None] | None = None,
    without: Sequence[str] = (),
    forced: bool = False,
) -> tuple[Assembly, Selection]:
    """Load and configure what was selected, filled up with what its parts and a model recommend.

    load: loads the model's weights into its network, before a wrapper that the model does not name.

    A component takes the model's options when it is the one that the model was trained with, and
    the user's options over them; what the weights depend on changes only when `forced`.
    `without` is left out, each KIND.NAME. Returns the assembly and the selection that it was made
    from. Raises UsageError for an option that no component takes and PluginError for a broken
    plugin.
    """
    hooks = Hooks()
    selection = Completion(registry, hooks.load, kinds, manifest, without).fill(selection)
    parts: list[Part] = []
    notes: list[str] = []
    # Options of what is left out may stay where they were written.
    gone = {each.partition(".")[0] for each in without}
    used = {*without, *(kind for kind in gone if not selection.of(kind))}
    # Encoders come last: the options of the others name them.
    for kind in sorted(kinds, key=lambda kind: kind == "encoder"):
        named = selection.of(kind)
        if kind == "encoder":
            asking = [(part.info, part.component) for part in parts]
            selection = listening(registry, selection, asking, manifest)
        for info in selection.of(kind):
            component = hooks.load(info)
            given: dict[str, Any] = {}
            alone = (named or selection.of(kind)) == (info,)
            for key in (kind, info.spelling) if alone else (info.spelling,):
                if key in options:
                    given |= options[key]
                    used.add(key)
            source = named_manifest(registry, info, component, given) or manifest
            trained, note = trained_options(source, info, component)
            configured = configure(component, info, trained | given)
            if source is not None and component.fixed:
                own = configure(component, info, trained)
                note = note or refuse_changes(info, own, configured, forced)
            notes += [note] if note else []
            parts.append(Part(info, configured))
    for key in sorted(options.keys() - used):
        option = f"option {key}.{next(iter(options[key]), '')}"
        if several := [part.info.spelling for part in parts if part.info.kind == key]:
            raise UsageError(
                f"{option} could belong to any of {', '.join(several)}; write the name too"
            )
        near = did_you_mean(key, [*kinds, *(part.info.spelling for part in parts)])
        near = near or f"; the kinds here are {', '.join(kinds)}"
        raise UsageError(f"{option} belongs to no selected component{near}")
    _wrap(hooks, parts, manifest.names("wrapper") if manifest else (), load)
    ordered = sorted(parts, key=lambda part: kinds.index(part.info.kind))
    return Assembly(tuple(ordered), hooks, tuple(notes)), selection


def _wrap(
    hooks: Hooks,
    parts: Sequence[Part],
    inner: Sequence[str],
    load: Callable[[nn.Module], None] | None,
) -> None:
    """Put the wrappers around what is built: those that the weights belong to, then the others."""
    wrappers = [part for part in parts if part.info.kind == "wrapper"]
    kinds = {f"build_{part.info.kind}" for part in parts}
    for part in wrappers[: len(inner)]:
        hooks.wrap(part.info, part.component)
    if load is not None:
        hooks.load_weights("backbone", load)
    for part in wrappers[len(inner) :]:
        hooks.wrap(part.info, part.component)
    for part in wrappers:
        around = wraps(type(part.component))
        if not kinds.intersection(around):
            what = " or ".join(name.removeprefix("build_") for name in around)
            raise UsageError(
                f"{part.info.spelling} wraps a {what}, and none was selected; name one with "
                f"--plugins, or leave {part.info.spelling} out"
            )


def configure(component: type[Component], info: PluginInfo, given: Mapping[str, Any]) -> Any:
    """Return a component with options. Raises UsageError for one that cannot be."""
    try:
        with owned(info, "checking its options", SystemExit):
            return component.model_validate(dict(given))
    except ValidationError as error:
        sentence = explain(error, component, f"option of {info.spelling}")
        raise UsageError(f"{sentence} (`kernel plugins {info.name}` lists the options)") from None

"""Kinds that the user left open, taken from what the named parts and the model recommend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from kernel._scan import canonical
from kernel.errors import PluginError, UsageError, did_you_mean
from kernel.kinds import added
from kernel.registry import PluginInfo, Registry, Selection

if TYPE_CHECKING:
    from kernel.kinds._component import Component
    from kernel.kinds.model import Manifest

    Load = Callable[[PluginInfo], type[Component]]

__all__ = ["complete", "owned", "recommended"]


def complete(
    registry: Registry,
    load: Load,
    selection: Selection,
    kinds: Sequence[str],
    manifest: Manifest | None,
    without: Collection[str] = (),
) -> Selection:
    """Return the selection with its open kinds filled, and the wrappers of a model's weights.

    without: KIND.NAME of what is left out, whoever brings it.

    A part is asked after those that were named or recommended before it, and its kinds in
    alphabetical order; the first part that recommends anything of a kind decides that kind. The
    model is asked when no named part, and none that these recommend, has anything more to say.
    Raises UsageError when what a part recommends is not installed, and for one of `without` that is
    neither recommended nor named; PluginError when what a model was trained with is not installed:
    nothing stands in for that which the user did not name.
    """
    offer = Offer(registry, kinds, without)
    selection = offer.select(selection)
    selection = _with_wrappers(offer, load, selection, manifest)
    asked = 0
    while True:
        while asked < len(selection.plugins):
            info = selection.plugins[asked]
            asked += 1
            if info.kind in kinds:
                selection = _filled(offer, selection, info, load(info))
        known = len(selection.plugins)
        selection = selection.union(_of_model(offer, load, selection, manifest))
        if len(selection.plugins) == known:
            offer.check()
            return selection


def recommended(manifest: Manifest | None, kind: str) -> tuple[str, ...]:
    """Return the names of the plugins of a kind that a model recommends."""
    if manifest is None or kind not in manifest.plugins:
        return ()
    names = manifest.plugins[kind]
    return (names,) if isinstance(names, str) else tuple(names)


class Offer:
    """What is left of recommendations when the user leaves some out."""

    def __init__(self, registry: Registry, kinds: Sequence[str], without: Collection[str]) -> None:
        self.registry = registry
        self.kinds = kinds
        self._without = sorted(without)
        self._met: set[str] = set()

    def open(self, selection: Selection, kind: str) -> bool:
        """Return whether more of a kind may be taken."""
        return kind in self.kinds and (added(kind) or not selection.of(kind))

    def wanted(self, selection: Selection, kind: str, names: Sequence[str]) -> list[str]:
        """Return KIND.NAME of the names that are not there and not left out."""
        spellings = [f"{kind}.{name}" for name in names]
        self._met.update(spellings)
        there = {*self._without, *(info.spelling for info in selection.plugins)}
        return [each for each in spellings if each not in there]

    def select(self, selection: Selection) -> Selection:
        """Return a selection without what is left out."""
        self._met.update(info.spelling for info in selection.plugins)
        kept = tuple(each for each in selection.plugins if each.spelling not in self._without)
        return Selection(kept, selection.replaced)

    def check(self) -> None:
        """Raise UsageError for a plugin that is left out where nobody brought it."""
        for each in self._without:
            kind, dot, name = each.partition(".")
            if not dot or not name or kind not in self.kinds:
                raise UsageError(
                    f"--without {each} names no plugin that could be left out; write KIND.NAME, "
                    f"where KIND is one of {', '.join(self.kinds)}"
                )
            if each not in self._met:
                near = did_you_mean(each, sorted(self._met))
                raise UsageError(f"nothing recommends {each}; leave --without {each} out{near}")


def _with_wrappers(
    offer: Offer, load: Load, selection: Selection, manifest: Manifest | None
) -> Selection:
    """Return the selection with the wrappers that a model's weights belong to, these first."""
    named = {info.spelling: info for info in selection.of("wrapper")}
    registry = offer.registry
    if manifest is None or "wrapper" not in offer.kinds:
        return selection
    spellings = [f"wrapper.{name}" for name in recommended(manifest, "wrapper")]
    own = [_trained(registry, load, manifest, each) for each in spellings if each not in named]
    taken = named | {info.spelling: info for info in registry.select(own).plugins}
    inner = tuple(taken[each] for each in spellings)
    rest = tuple(info for info in selection.plugins if info not in inner)
    return selection._replace(plugins=inner + rest)


def _filled(
    offer: Offer, selection: Selection, info: PluginInfo, component: type[Component]
) -> Selection:
    for kind, names in sorted(component.recommends.items()):
        if offer.open(selection, kind):
            wanted = [
                owned(offer.registry, info.distribution, each)
                for each in offer.wanted(selection, kind, names)
            ]
            try:
                selection = selection.union(offer.registry.select(wanted))
            except UsageError as error:
                raise UsageError(
                    f"{info.spelling} recommends {', '.join(wanted)}, but {error}; or name another "
                    f"{kind}"
                ) from None
    return selection


def _of_model(
    offer: Offer, load: Load, selection: Selection, manifest: Manifest | None
) -> Selection:
    if manifest is None:
        return Selection()
    tasks = tuple(info.name for info in selection.of("task"))
    # Guidances are recommended for the task that the model was made for, not for any other.
    idle = "guidance" if tasks and tasks != recommended(manifest, "task") else None
    return offer.registry.select(
        _trained(offer.registry, load, manifest, spelling)
        for kind in offer.kinds
        # An encoder is selected where an option names it.
        if kind not in (idle, "encoder") and offer.open(selection, kind)
        for spelling in offer.wanted(selection, kind, recommended(manifest, kind))
    )


def owned(registry: Registry, distribution: str, spelling: str) -> str:
    """Return the spelling of a recommendation: its owner's own, where the owner offers it.

    Only the user's preference comes before that.
    """
    qualified = f"{spelling}@{distribution}"
    if not distribution or spelling in registry.prefer or not registry.find(qualified):
        return spelling
    return qualified


def _trained(registry: Registry, load: Load, manifest: Manifest, spelling: str) -> str:
    """Return the spelling of what a model was trained with, or of what took that over."""
    owner = canonical(manifest.distributions.get(spelling, ""))
    others = registry.find(spelling)
    if not owner or spelling in registry.prefer or f"{spelling}@{owner}" in map(_qualified, others):
        return owned(registry, owner, spelling)
    for info in others:
        if owner in map(canonical, load(info).formerly):
            return info.qualified
    another = " or ".join(map(_qualified, others)) or f"another {spelling.partition('.')[0]}"
    raise PluginError(
        f"{manifest.title!r} was trained with {spelling} of {owner}, which is not installed; "
        f"install {owner}, or name {another} with --plugins"
    )


def _qualified(info: PluginInfo) -> str:
    return info.qualified

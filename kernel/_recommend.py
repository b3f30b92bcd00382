"""Fills the kinds that the user left open, from the recommendations of parts and models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import count
from typing import TYPE_CHECKING

import attrs

from kernel._identity import owners
from kernel._scan import canonical
from kernel.errors import PluginError, UsageError, did_you_mean
from kernel.kinds import added
from kernel.registry import PluginInfo, Registry, Selection

if TYPE_CHECKING:
    from kernel.kinds._component import Component
    from kernel.kinds.model import Manifest


def owned(registry: Registry, distribution: str, spelling: str) -> str:
    """Return the spelling of a recommendation: its owner's own, where the owner offers it.

    Only the user's preference comes before that.
    """
    qualified = f"{spelling}@{distribution}"
    if not distribution or spelling in registry.prefer or not registry.find(qualified):
        return spelling
    return qualified


def listening(
    registry: Registry,
    selection: Selection,
    asking: Iterable[tuple[PluginInfo, Component]],
    manifest: Manifest | None,
) -> Selection:
    """Return the selection with every encoder that a component names, as if the user had named it.

    One that is selected already stays; a model's own owner comes before others. Raises UsageError,
    with the component, for an encoder that is unknown or that two distributions offer.
    """
    for asker, component in asking:
        for spelling in component.encoders:
            name = f"encoder.{spelling.removeprefix('encoder.')}"
            owner = manifest.distributions.get(name, "") if manifest else ""
            try:
                if Registry(selection.plugins).find(name):
                    continue
                found = registry.pick(owned(registry, owner, name), "encoder")
            except UsageError as error:
                raise UsageError(f"{asker.spelling} names an encoder, but {error}") from None
            selection = selection.plus([found])
    return selection


@attrs.frozen
class Completion:
    """Fills the kinds that a selection leaves open, and adds the wrappers of a model's weights.

    without: KIND.NAME of what is left out, whoever brings it.

    A part is asked after those that were named or recommended before it, and its kinds in
    alphabetical order; the first part that recommends anything of a kind decides that kind. The
    model is asked when no named part, and none that these recommend, has anything more to say.
    """

    registry: Registry
    load: Callable[[PluginInfo], type[Component]]
    kinds: Sequence[str]
    manifest: Manifest | None
    without: Collection[str] = ()
    met: set[str] = attrs.field(factory=set)
    """KIND.NAME of everything that was named or recommended."""

    def fill(self, selection: Selection) -> Selection:
        """Return the whole selection.

        Raises UsageError when what a part recommends is not installed, and for one of `without`
        that is neither recommended nor named; PluginError when what a model was trained with is not
        installed: nothing stands in for that which the user did not name.
        """
        self.met.update(info.spelling for info in selection.plugins)
        kept = tuple(each for each in selection.plugins if each.spelling not in self.without)
        selection = self._with_wrappers(selection._replace(plugins=kept))
        for asked in count():
            if asked == len(selection.plugins):
                selection = selection.plus(self._of_model(selection))
            if asked == len(selection.plugins):
                break
            if selection.plugins[asked].kind in self.kinds:
                selection = self._filled(selection, selection.plugins[asked])
        self._check()
        return selection

    def _wanted(self, selection: Selection, kind: str, names: Sequence[str]) -> list[str]:
        """Return KIND.NAME of what may be taken of a kind, is not there and not left out."""
        if kind not in self.kinds or (selection.of(kind) and not added(kind)):
            return []
        spellings = [f"{kind}.{name}" for name in names]
        self.met.update(spellings)
        there = {*self.without, *(info.spelling for info in selection.plugins)}
        return [each for each in spellings if each not in there]

    def _with_wrappers(self, selection: Selection) -> Selection:
        """Return the selection with the wrappers that a model's weights belong to, these first."""
        if self.manifest is None or "wrapper" not in self.kinds:
            return selection
        spellings = [f"wrapper.{name}" for name in self.manifest.names("wrapper")]
        taken = {info.spelling: info for info in selection.of("wrapper")}
        own = [self._trained(self.manifest, each) for each in spellings if each not in taken]
        taken |= {info.spelling: info for info in self.registry.select(own).plugins}
        inner = tuple(taken[each] for each in spellings)
        rest = tuple(info for info in selection.plugins if info not in inner)
        return selection._replace(plugins=inner + rest)

    def _filled(self, selection: Selection, info: PluginInfo) -> Selection:
        """Return the selection with what a part of it recommends."""
        for kind, names in sorted(self.load(info).recommends.items()):
            wanted = [
                owned(self.registry, info.distribution, each)
                for each in self._wanted(selection, kind, names)
            ]
            try:
                selection = selection.plus(self.registry.select(wanted).plugins)
            except UsageError as error:
                raise UsageError(
                    f"{info.spelling} recommends {', '.join(wanted)}, but {error}; or name another "
                    f"{kind}"
                ) from None
        return selection

    def _of_model(self, selection: Selection) -> tuple[PluginInfo, ...]:
        """Return what the model recommends of the open kinds."""
        if self.manifest is None:
            return ()
        tasks = tuple(info.name for info in selection.of("task"))
        # Guidances are recommended for the task that the model was made for, not for any other.
        idle = "guidance" if tasks and tasks != self.manifest.names("task") else None
        return self.registry.select(
            self._trained(self.manifest, spelling)
            for kind in self.kinds
            # An encoder is selected where an option names it.
            if kind not in (idle, "encoder")
            for spelling in self._wanted(selection, kind, self.manifest.names(kind))
        ).plugins

    def _trained(self, manifest: Manifest, spelling: str) -> str:
        """Return the spelling of what a model was trained with, or of what took that over."""
        owner = canonical(manifest.distributions.get(spelling, ""))
        if not owner or spelling in self.registry.prefer:
            return spelling
        others = self.registry.find(spelling)
        for info in [each for each in others if each.distribution == owner] or others:
            if owner in owners(info, self.load(info)):
                return info.qualified
        another = " or ".join(info.qualified for info in others)
        another = another or f"another {spelling.partition('.')[0]}"
        raise PluginError(
            f"{manifest.title!r} was trained with {spelling} of {owner}, which is not installed; "
            f"install {owner}, or name {another} with --plugins"
        )

    def _check(self) -> None:
        """Raise UsageError for a plugin that is left out where nobody brought it."""
        for each in sorted(self.without):
            kind, _, name = each.partition(".")
            if not name or kind not in self.kinds:
                raise UsageError(
                    f"--without {each} names no plugin that could be left out; write KIND.NAME, "
                    f"where KIND is one of {', '.join(self.kinds)}"
                )
            if each not in self.met:
                near = did_you_mean(each, sorted(self.met))
                raise UsageError(f"nothing recommends {each}; leave --without {each} out{near}")

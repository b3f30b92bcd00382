"""Kinds that the user left open, taken from what the named parts and the model recommend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kernel.errors import UsageError
from kernel.registry import PluginInfo, Registry, Selection

if TYPE_CHECKING:
    from kernel.kinds._component import Component
    from kernel.kinds.model import Manifest

__all__ = ["complete", "owned", "recommended"]


def complete(
    registry: Registry,
    load: Callable[[PluginInfo], type[Component]],
    selection: Selection,
    kinds: Sequence[str],
    manifest: Manifest | None,
) -> Selection:
    """Return the selection with its open kinds filled, and the wrappers of a model's weights.

    A part is asked after those that were named or recommended before it, and its kinds in
    alphabetical order; the first part that recommends anything of a kind decides that kind. The
    model is asked when no named part, and none that these recommend, has anything more to say.
    Raises UsageError when what is recommended is not installed.
    """
    selection = _with_wrappers(registry, selection, kinds, manifest)
    asked = 0
    while True:
        while asked < len(selection.plugins):
            info = selection.plugins[asked]
            asked += 1
            if info.kind in kinds:
                selection = _filled(registry, selection, kinds, info, load(info))
        known = len(selection.plugins)
        selection = selection.union(_of_model(registry, selection, kinds, manifest))
        if len(selection.plugins) == known:
            return selection


def recommended(manifest: Manifest | None, kind: str) -> tuple[str, ...]:
    """Return the names of the plugins of a kind that a model recommends."""
    if manifest is None or kind not in manifest.plugins:
        return ()
    names = manifest.plugins[kind]
    return (names,) if isinstance(names, str) else tuple(names)


def _with_wrappers(
    registry: Registry, selection: Selection, kinds: Sequence[str], manifest: Manifest | None
) -> Selection:
    """Return the selection with the wrappers that a model's weights belong to, these first."""
    named = {info.spelling: info for info in selection.of("wrapper")}
    if manifest is None or "wrapper" not in kinds:
        return selection
    spellings = [f"wrapper.{name}" for name in recommended(manifest, "wrapper")]
    owners = manifest.distributions
    own = registry.select(owned(registry, owners.get(each, ""), each) for each in spellings)
    inner = tuple(named.get(info.spelling, info) for info in own.plugins)
    rest = tuple(info for info in selection.plugins if info not in inner)
    return selection._replace(plugins=inner + rest)


def _filled(
    registry: Registry,
    selection: Selection,
    kinds: Sequence[str],
    info: PluginInfo,
    component: type[Component],
) -> Selection:
    for kind, names in sorted(component.recommends.items()):
        if kind in kinds and not selection.of(kind):
            wanted = [owned(registry, info.distribution, f"{kind}.{name}") for name in names]
            try:
                selection = selection.union(registry.select(wanted))
            except UsageError as error:
                raise UsageError(
                    f"{info.spelling} recommends {', '.join(wanted)}, but {error}; or name another "
                    f"{kind}"
                ) from None
    return selection


def _of_model(
    registry: Registry, selection: Selection, kinds: Sequence[str], manifest: Manifest | None
) -> Selection:
    if manifest is None:
        return Selection()
    tasks = tuple(info.name for info in selection.of("task"))
    # Guidances are recommended for the task that the model was made for, not for any other.
    idle = "guidance" if tasks and tasks != recommended(manifest, "task") else None
    return registry.select(
        owned(registry, manifest.distributions.get(spelling, ""), spelling)
        for kind in kinds
        # An encoder is selected where an option names it.
        if kind not in (idle, "encoder") and not selection.of(kind)
        for spelling in (f"{kind}.{name}" for name in recommended(manifest, kind))
    )


def owned(registry: Registry, distribution: str, spelling: str) -> str:
    """Return the spelling of a recommendation: its owner's own, where the owner offers it.

    Only the user's preference comes before that.
    """
    qualified = f"{spelling}@{distribution}"
    if not distribution or spelling in registry.prefer or not registry.find(qualified):
        return spelling
    return qualified

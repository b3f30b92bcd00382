"""The encoders that the options of other components name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kernel._recommend import owned
from kernel.errors import UsageError

if TYPE_CHECKING:
    from kernel.kinds._component import Component
    from kernel.kinds.model import Manifest
    from kernel.registry import PluginInfo, Registry, Selection

__all__ = ["listening", "means"]


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
            if any(means(spelling, info) for info in selection.of("encoder")):
                continue
            name = f"encoder.{spelling.removeprefix('encoder.')}"
            owner = manifest.distributions.get(name, "") if manifest else ""
            try:
                found = registry.pick(owned(registry, owner, name), "encoder")
            except UsageError as error:
                raise UsageError(f"{asker.spelling} names an encoder, but {error}") from None
            selection = selection._replace(plugins=(*selection.plugins, found))
    return selection


def means(spelling: str, info: PluginInfo) -> bool:
    """Return whether `[encoder.]NAME[@DISTRIBUTION]` may stand for a plugin."""
    name, _, distribution = spelling.strip().removeprefix("encoder.").partition("@")
    return (info.kind, info.name) == ("encoder", name) and distribution in ("", info.distribution)

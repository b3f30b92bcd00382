"""Trained codecs: the pack that has the weights of one, and what a network was trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from kernel.errors import MisfitError, PluginError, UsageError
from kernel.kinds.codec import TrainedCodec
from kernel.kinds.recipe import Recipe
from kernel.models import ModelPack, find_pack
from kernel.provenance import content_hash
from kernel.tensors import load_weights

if TYPE_CHECKING:
    from torch import nn

    from kernel.assembly import Assembly
    from kernel.kinds._component import Component
    from kernel.kinds.model import Manifest
    from kernel.registry import PluginInfo, Registry

__all__ = ["furnish", "named_manifest"]


def named_manifest(
    registry: Registry, info: PluginInfo, component: type[Component], given: Mapping[str, Any]
) -> Manifest | None:
    """Return the manifest of the codec pack that the options of a trained codec name, if any.

    Raises MisfitError for a pack that has no weights of this codec.
    """
    if not issubclass(component, TrainedCodec) or given.get("pack") is None:
        return None
    pack = find_pack(registry, str(given["pack"]))
    if not pack.codec.is_file() or pack.manifest.plugins["codec"] != info.name:
        raise MisfitError(
            f"model {pack.name} has no weights of {info.spelling}; set codec.pack to one that has "
            f"(`kernel models` lists what each was trained with)"
        )
    return pack.manifest


def furnish(
    assembly: Assembly, registry: Registry, pack: ModelPack | None
) -> tuple[ModelPack | None, tuple[str, ...]]:
    """Have the codec of an assembly built with its weights, where it has any.

    pack: the model that is played or trained on. Returns the pack that has the weights, None for a
    codec without or one to be trained from nothing, and a sentence where they are not those that
    the network was trained with. Raises UsageError when no pack is named and PluginError when that
    of a network is not installed.
    """
    codec = next(iter(assembly.all(TrainedCodec)), None)
    if codec is None:
        return None, ()
    learns = any("codec" in each.trains for each in assembly.all(Recipe))
    told: Mapping[Any, str] = pack.manifest.trained.codec if pack else {}
    own = pack is not None and codec.pack == pack.manifest.options.get("codec", {}).get("pack")
    if pack is not None and own and pack.codec.is_file():
        found = pack
    elif codec.pack is not None:
        name = codec.pack
        if own and "distribution" in told:
            name = f"{told['name']}@{told['distribution']}"
            if not registry.find(name, "model"):
                raise PluginError(
                    f"model {pack and pack.name} was trained with the codec of model "
                    f"{told['name']}, which is not installed; `pip install {told['distribution']}` "
                    f"brings it (version {told['version']} was used)"
                )
        found = find_pack(registry, name)
    elif learns:
        return None, ()
    else:
        raise UsageError(
            f"{assembly.spelling('codec')} has weights of its own, and no pack of them is named; "
            f"set codec.pack to a model that `kernel models` lists, or to a trained folder"
        )

    def load(module: nn.Module) -> nn.Module:
        from kernel.standardised import Standardised

        load_weights(module, found.codec, f"the codec of model {found.name}")
        # A training goes on with the scale that the module has of itself.
        plain = learns or not codec.mean
        return module if plain else Standardised(cast("Any", module), codec.mean, codec.std)

    assembly.hooks.load_weights("codec", load)
    was, now = told.get("hash"), content_hash(found.codec) or ""
    if pack is None or was in (None, now):
        return found, ()
    return found, (
        f"the codec weights of {found.name} are not those that {pack.name} was trained with "
        f"({was:.19}, now {now:.19})",
    )

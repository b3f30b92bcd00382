"""A trained network as a model holds it: with its wrappers undone, but for those that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kernel.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kernel.assembly import Assembly

__all__ = ["check_merge", "merged"]


def check_merge(assembly: Assembly) -> None:
    """Undo the wrappers of a fresh network, before a training that ends with undoing them.

    Raises PluginError when what is left is not the backbone's own network.
    """
    around = assembly.wrappers("backbone")
    if not around:
        return
    condition = assembly.condition
    network, staying = assembly.unwrap("backbone", assembly.build_network(condition))
    if staying:
        return
    own = _shapes(assembly.backbone.build(assembly.latent, condition))
    left = _shapes(network)
    if wrong := sorted(name for name in own.keys() | left if own.get(name) != left.get(name)):
        raise PluginError(
            f"{', '.join(part.info.qualified for part in around)} cannot be undone: after merge() "
            f"the network's tensor {wrong[0]!r} has the shape {left.get(wrong[0])}, where the "
            f"backbone's own has {own.get(wrong[0])}; leave the wrapper out, or have it mended"
        )


def merged(
    assembly: Assembly, network: nn.Module, codec: nn.Module, weights: Mapping[str, Tensor]
) -> tuple[nn.Module, set[str]]:
    """Return the network that a model holds and the spellings of the wrappers that stay.

    weights: what the model is to play with; they are copied into `network`. A wrapper of a solver
    stays, because the model recommends it with the solver.
    """
    network.load_state_dict(weights)
    network, staying = assembly.unwrap("backbone", network)
    around_codec = assembly.unwrap("codec", codec)[1]
    parts = (*staying, *around_codec, *assembly.wrappers("solver"))
    return network, {part.info.spelling for part in parts}


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in module.state_dict().items()}

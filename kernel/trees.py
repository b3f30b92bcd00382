"""Trees of tensors: any nesting of dict, list, tuple, attrs record and None.

Leaves that are no tensors are constants: numbers and words.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from kernel.errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["layout", "mapped", "tensors"]


def tensors(tree: Any) -> Iterator[Tensor]:
    """Yield the tensors of a tree, in its order."""
    if _is_tensor(tree):
        yield tree
    for part in _parts(tree).values():
        yield from tensors(part)


def mapped(function: Callable[[Tensor], Any], tree: Any) -> Any:
    """Return the tree with `function` applied to every tensor."""
    if _is_tensor(tree):
        return function(tree)
    made = {name: mapped(function, part) for name, part in _parts(tree).items()}
    if isinstance(tree, dict):
        return made
    if isinstance(tree, list | tuple):
        named = isinstance(tree, tuple) and hasattr(tree, "_fields")
        return type(tree)(*made.values()) if named else type(tree)(made.values())
    return attrs.evolve(tree, **made) if made else tree


def layout(tree: Any) -> Hashable:
    """Return what trees share that differ in the values of their tensors alone.

    Raises PluginError for a leaf that is neither a tensor nor a number, a word or None.
    """
    if _is_tensor(tree):
        return (tree.shape, tree.dtype, tree.device)
    if tree is None or isinstance(tree, bool | int | float | str):
        return (type(tree), tree)
    parts = _parts(tree)
    if not parts and not isinstance(tree, dict | list | tuple) and not attrs.has(type(tree)):
        raise PluginError(
            f"a backbone's `prepare` returns a {type(tree).__name__}, which a CUDA graph cannot be "
            f"fed with; return tensors, numbers and words in dict, list, tuple or attrs records"
        )
    return (type(tree), *((name, layout(part)) for name, part in parts.items()))


def _is_tensor(tree: Any) -> bool:
    import torch

    return isinstance(tree, torch.Tensor)


def _parts(tree: Any) -> Mapping[Any, Any]:
    """Return the parts of a node by their names; none for a leaf."""
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, list | tuple):
        return dict(enumerate(tree))
    if attrs.has(type(tree)):
        return {
            each.alias or each.name: getattr(tree, each.name) for each in attrs.fields(type(tree))
        }
    return {}

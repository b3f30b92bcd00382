"""Trees of tensors: any nesting of dict, list, tuple, attrs record and None.

Leaves that are no tensors are constants: numbers and words.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import attrs
from torch import Tensor

from kernel.errors import PluginError


def flat(tree: Any) -> tuple[list[Tensor], Hashable]:
    """Return the tensors of a tree in order, and its layout.

    Trees of one layout differ in the values of their tensors alone. Raises PluginError for a leaf
    that is neither a tensor nor a constant.
    """
    if isinstance(tree, Tensor):
        return [tree], (tree.shape, tree.dtype, tree.device)
    if tree is None or isinstance(tree, bool | int | float | str):
        return [], (type(tree), tree)
    if not isinstance(tree, dict | list | tuple) and not attrs.has(type(tree)):
        raise PluginError(
            f"a backbone's `prepare` returns a {type(tree).__name__}, which a CUDA graph cannot be "
            f"fed with; return tensors, numbers and words in dict, list, tuple or attrs records"
        )
    found = {name: flat(part) for name, part in _parts(tree).items()}
    tensors = [each for own, _ in found.values() for each in own]
    return tensors, (type(tree), *((name, layout) for name, (_, layout) in found.items()))


def mapped(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """Return the tree with `function` applied to every tensor."""
    if isinstance(tree, Tensor):
        return function(tree)
    made = {name: mapped(function, part) for name, part in _parts(tree).items()}
    if isinstance(tree, dict):
        return made
    if isinstance(tree, list | tuple):
        named = isinstance(tree, tuple) and hasattr(tree, "_fields")
        return type(tree)(*made.values()) if named else type(tree)(made.values())
    return attrs.evolve(tree, **made) if made else tree


def _parts(tree: Any) -> Mapping[Any, Any]:
    """Return the parts of a node by their names; none for a leaf."""
    if isinstance(tree, dict):
        return tree
    if isinstance(tree, list | tuple):
        return dict(enumerate(tree))
    fields = attrs.fields(type(tree)) if attrs.has(type(tree)) else ()
    return {each.alias or each.name: getattr(tree, each.name) for each in fields}

"""Trees of tensors: every nesting is walked, rebuilt and told from others."""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs
import pytest
import torch
from torch import Tensor

from kernel.errors import PluginError
from kernel.trees import flat, mapped


class Pair(NamedTuple):
    key: Tensor
    value: Tensor


@attrs.frozen(eq=False)
class Record:
    _hidden: Tensor
    size: tuple[int, ...] = (4,)


def tree(value: float = 1.0, length: int = 2, size: int = 4) -> Any:
    one = torch.full((length,), value)
    return {"a": [Pair(one, 2 * one), None], "b": Record(3 * one, (size,)), "c": ("word", 0.5)}


def layout(tree: Any) -> Any:
    return flat(tree)[1]


def test_every_tensor_is_found_in_order() -> None:
    assert [float(each[0]) for each in flat(tree())[0]] == [1, 2, 3]


def test_a_tree_is_rebuilt_with_its_types_and_constants() -> None:
    found = mapped(lambda each: 10 * each, tree())
    assert [float(each[0]) for each in flat(found)[0]] == [10, 20, 30]
    assert layout(found) == layout(tree())
    assert isinstance(found["a"][0], Pair) and isinstance(found["b"], Record)
    assert found["b"].size == (4,) and found["c"] == ("word", 0.5) and found["a"][1] is None


@pytest.mark.parametrize(
    "other",
    [
        tree(length=3),
        tree(size=5),
        mapped(Tensor.double, tree()),
        {**tree(), "c": ["word", 0.5]},
        {**tree(), "c": ("word", 1.5)},
        {**tree(), "d": None},
    ],
    ids=["shape", "constant in a record", "dtype", "type", "constant", "part"],
)
def test_whatever_is_no_value_of_a_tensor_makes_another_layout(other: Any) -> None:
    assert hash(layout(tree())) == hash(layout(tree(value=7.0)))
    assert layout(tree()) == layout(tree(value=7.0)) != layout(other)


def test_another_leaf_is_refused() -> None:
    with pytest.raises(PluginError, match="`prepare` returns a set, .* return tensors, numbers"):
        layout({"a": {1, 2}})

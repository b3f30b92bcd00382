"""A tensor that still lies in its file: its type, its shape, and the place of its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING

import attrs

from kernel import ForeignTensor
from kernel_audio_import._machine import Malformed

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ITEM_SIZES", "Storage", "Stored", "byte_size", "numbers"]

ITEM_SIZES = {
    "bool": 1,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}
"""The supported types of values, by torch's names, and their sizes in bytes."""

_MOST_AXES = 64  # the limit of numpy and of torch


@attrs.frozen(eq=False)
class Storage:
    """A run of values in the file; `start` and `count` select them from what `read` returns."""

    dtype: str
    count: int
    read: Callable[[], bytes]
    start: int = 0

    def content(self) -> bytearray:
        """Return the bytes of the values. Raises Malformed when the file has fewer."""
        size = ITEM_SIZES[self.dtype]
        content = bytearray(self.read())[self.start * size :][: self.count * size]
        if len(content) < self.count * size:
            raise Malformed("it is cut short")
        return content


@attrs.frozen(eq=False)
class Stored:
    """A strided view of a storage, checked to lie inside it; the values are read by `load`."""

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int = 0

    @classmethod
    def of(
        cls, storage: object, offset: object, shape: object, stride: object, dtype: object = None
    ) -> Stored:
        """Return the view that a file describes. Raises Malformed for an impossible view."""
        dtype = dtype or getattr(storage, "dtype", None)
        if not isinstance(storage, Storage) or not isinstance(dtype, str):
            raise Malformed("a tensor has no storage")
        sizes, steps = numbers(shape), numbers(stride)
        (first,) = numbers([offset])
        if dtype not in ITEM_SIZES:
            raise Malformed(f"it holds values of the unknown type {dtype!r:.40}")
        last = first + sum((size - 1) * step for size, step in zip(sizes, steps, strict=True))
        held = storage.count * ITEM_SIZES[storage.dtype]
        if 0 not in sizes and (last + 1) * ITEM_SIZES[dtype] > held:
            raise Malformed(f"a tensor of shape {sizes} needs more values than the file has")
        return cls(storage, dtype, sizes, steps, first)

    def load(self) -> Tensor:
        """Read the values into a contiguous tensor with memory of its own."""
        import torch

        dtype = getattr(torch, self.dtype)
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=dtype)
        content = self.storage.content()
        whole = len(content) // ITEM_SIZES[self.dtype]
        flat = torch.frombuffer(content, dtype=dtype, count=whole)
        view = flat.as_strided(self.shape, self.stride, self.offset)
        return view.clone(memory_format=torch.contiguous_format)


def byte_size(tensor: ForeignTensor) -> int:
    """Return the bytes of a tensor's values, each written once."""
    return prod(tensor.shape) * ITEM_SIZES[tensor.dtype]


def numbers(given: object) -> tuple[int, ...]:
    """Return a shape, strides or an order of axes. Raises Malformed for other values."""
    if (
        not isinstance(given, Sequence)
        or len(given) > _MOST_AXES
        or not all(type(number) is int and 0 <= number < 2**63 for number in given)
    ):
        raise Malformed("a tensor has no shape")
    return tuple(given)

"""All names that a checkpoint's pickle may use, each with a function of ours that replaces it.

No entry is the original function. Other names (such as those of sparse, quantised and nested
tensors) are left out of the result, and the user is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from struct import unpack
from typing import Any

from kernel_audio_import._machine import Allowed, Malformed, Mutable, fill
from kernel_audio_import._stored import ITEM_SIZES, Storage, Stored, numbers

__all__ = ["GLOBALS", "Array"]


class NumpyType(Mutable):
    """A numpy.dtype: `code` is its kind and size, as in f4, `order` that of its bytes."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code if isinstance(code, str) else ""
        self.order: Any = "="

    def build(self, state: Any) -> None:
        """Take the byte order; the rest of the state does not concern numbers."""
        self.order = state[1]


class Array(Mutable):
    """A numpy.ndarray; `stored` is None before it has values, and for an array of objects."""

    def __init__(self, stored: Stored | None = None) -> None:
        self.stored = stored

    def build(self, state: Any) -> None:
        """Take (version, shape, type, whether the first axis is the fastest, bytes)."""
        _, shape, kind, fortran, values = state
        self.stored = _array(values, kind, shape, "F" if fortran else "C").stored


def _array(values: Any, kind: NumpyType, shape: Any, order: str, axes: Any = None) -> Array:
    """Make an array whose axes lie in memory as `order` says, or in the order `axes`."""
    dtype = _NUMPY.get(kind.code)
    if dtype is None:
        return Array()
    if kind.order == ">":
        raise Malformed("it holds big-endian numbers")
    content, sizes = _bytes(values), numbers(shape)
    inner = [sizes[:axis] if order == "F" else sizes[axis + 1 :] for axis in range(len(sizes))]
    steps = [prod(each) for each in inner]
    turned = range(len(sizes)) if axes is None else numbers(axes)
    storage = Storage(dtype, len(content) // ITEM_SIZES[dtype], lambda: content)
    seen = [[each[axis] for axis in turned] for each in (sizes, steps)]
    return Array(Stored.of(storage, 0, *seen))


def _tensor(
    storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any, dtype: Any = None
) -> Stored:
    """Make what _rebuild_tensor_v2 makes, whose rest is (requires_grad, hooks, bits)."""
    if rest[2:] and rest[2]:
        raise Malformed("it holds a tensor whose conjugation or negation is pending")
    return Stored.of(storage, offset, shape, stride, dtype)


def _tensor_v3(*given: Any) -> Stored:
    return _tensor(*given[:6], *given[7:], dtype=given[6])


def _from_type(rebuild: Any, kind: Any, arguments: Any, state: Any) -> Any:
    """Make a Parameter or a tensor with attributes; attributes are not weights."""
    if rebuild.make not in _CALLED["torch._utils"].values():
        raise Malformed("it makes a tensor of a value that is not one")
    return rebuild.make(*arguments)


def _from_numpy(array: Array, *_: Any) -> Stored | None:
    return array.stored


def _first(value: Any, *_: Any) -> Any:
    return value


def _mapping(given: Any = ()) -> Any:
    pairs = given.items() if isinstance(given, dict) else given
    return fill({}, [part for key, value in pairs for part in (key, value)])


def _list(given: Any = ()) -> list[Any]:
    return list(given)


def _tuple(given: Any = ()) -> tuple[Any, ...]:
    return tuple(given)


def _bytes(given: Any = b"", encoding: str = "latin1") -> bytes:
    """Return bytes; protocol 2 and Python 2 wrote them as text."""
    if encoding not in ("latin1", "latin-1"):
        raise Malformed("it holds bytes in an unknown encoding")
    if isinstance(given, bytes):
        return given
    return given.encode("latin-1") if isinstance(given, str) else memoryview(given).tobytes()


def _scalar(kind: NumpyType, content: Any = b"") -> Any:
    """Return a scalar of numpy as a Python number, or None if Python has no such number."""
    layout = _PYTHON.get(kind.code)
    return None if layout is None else unpack(f"<{layout}", _bytes(content))[0]


def _nothing(*_: Any) -> None:
    """Replace a device, which is not a tensor."""


_STORAGES = {
    "Bool": "bool",
    "Byte": "uint8",
    "Char": "int8",
    "Short": "int16",
    "Int": "int32",
    "Long": "int64",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Float": "float32",
    "Double": "float64",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128",
    "Untyped": "uint8",
}
_NUMPY = {
    "b1": "bool",
    **{f"u{size}": f"uint{8 * size}" for size in (1, 2, 4, 8)},
    **{f"i{size}": f"int{8 * size}" for size in (1, 2, 4, 8)},
    **{f"f{size}": f"float{8 * size}" for size in (2, 4, 8)},
    **{f"c{size}": f"complex{8 * size}" for size in (8, 16)},
}
_PYTHON = {"b1": "?", "i4": "i", "i8": "q", "f2": "e", "f4": "f", "f8": "d"}
_CALLED: dict[str, dict[str, Callable[..., Any]]] = {
    "torch._utils": {
        "_rebuild_tensor": _tensor,
        "_rebuild_tensor_v2": _tensor,
        "_rebuild_tensor_v3": _tensor_v3,
        "_rebuild_parameter": _first,
        "_rebuild_parameter_with_state": _first,
        "_rebuild_device_tensor_from_cpu_tensor": _first,
        "_rebuild_device_tensor_from_numpy": _from_numpy,
        "_rebuild_xla_tensor": _from_numpy,
    },
    "torch._tensor": {"_rebuild_from_type_v2": _from_type},
    "torch": {"Size": _tuple, "device": _nothing},
    "collections": {"OrderedDict": _mapping, "Counter": _mapping},
    "_codecs": {"encode": _bytes},
    "numpy": {"dtype": NumpyType},
    "numpy.core.multiarray": {"_reconstruct": lambda *_: Array(), "scalar": _scalar},
    "numpy.core.numeric": {"_frombuffer": _array},
    "builtins": {
        "dict": _mapping,
        "list": _list,
        "set": _list,
        "frozenset": _list,
        "tuple": _tuple,
        "bytes": _bytes,
        "bytearray": _bytes,
        "complex": _nothing,
    },
}
_RENAMED = {
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "builtins": "__builtin__",
}
_NAMED: dict[tuple[str, str], Any] = {
    **{("torch", dtype): dtype for dtype in ITEM_SIZES},
    **{("torch", f"{name}Storage"): dtype for name, dtype in _STORAGES.items()},
    **{("torch.cuda", f"{name}Storage"): dtype for name, dtype in _STORAGES.items()},
    ("torch.storage", "UntypedStorage"): "uint8",
    ("torch", "Tensor"): None,
    ("torch.nn.parameter", "Parameter"): None,
    ("torch.nn.parameter", "Buffer"): None,
    ("numpy", "ndarray"): None,
}

GLOBALS: Mapping[tuple[str, str], Any] = _NAMED | {
    (place, name): Allowed(make)
    for module, entries in _CALLED.items()
    for place in (module, _RENAMED.get(module, module))
    for name, make in entries.items()
}
"""(module, name) to a value, or to the Allowed function that the machine calls instead."""

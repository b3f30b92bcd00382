"""A look at weights that needs no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors
from numpy.typing import NDArray

from kernel.errors import InputError

__all__ = ["read_weights"]

_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


def read_weights(path: Path) -> bytes:
    """Return the bytes of a safetensors file whose numbers are all finite. Raises InputError."""
    try:
        data = path.read_bytes()
        tensors = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"the weights {path} cannot be read: {reason}; check the file") from None
    except safetensors.SafetensorError as error:
        raise InputError(
            f"the weights {path} are damaged ({error}); train the model again or get the whole file"
        ) from None
    if not tensors:
        raise InputError(f"the weights {path} hold no tensors; train the model again")
    for name, tensor in sorted(tensors):
        if not np.isfinite(_floats(tensor["dtype"], tensor["data"])).all():
            raise InputError(
                f"the tensor {name!r} in {path} holds values that are not finite; "
                "train the model again with a lower learning rate"
            )
    return data


def _floats(dtype: str, data: bytes) -> NDArray[np.floating]:
    """Return the values of a tensor; of one that has no floats known here, none."""
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(data if dtype in _FLOATS else b"", _FLOATS.get(dtype, np.float32))

"""Weights on disk: safetensors, checked name by name when they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from kernel.errors import InputError
from kernel.files import output_error, synced

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["load_weights", "misfit", "not_finite", "read_tensors", "write_tensors"]


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file and return its hash, when its bytes are on the disk.

    Call it inside `staged`, which makes the folder appear whole. Raises OutputError.
    """
    from safetensors.torch import save

    # Not save_file, which lets nobody but the owner read the file.
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    data = save(whole, {"format": "pt"})
    try:
        path.write_bytes(data)
        synced(path)
    except OSError as error:
        raise output_error(path, error) from error
    return f"sha256:{sha256(data).hexdigest()}"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file on the CPU. Raises InputError when it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise InputError(f"weights {path} are missing; install the model again") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"weights {path} cannot be read ({error}); get the file again") from None


def not_finite(tensors: Mapping[str, Tensor], module: nn.Module) -> str | None:
    """Return the name of the first of a module's `tensors` that is not finite, or None.

    A buffer may hold infinities, as masks do, but no NaN.
    """
    trained = dict(module.named_parameters())
    for name, values in sorted(tensors.items()):
        # The sum takes a thirtieth of the time; only where it overflows are values looked at.
        if not bool(values.sum().isfinite()):
            wrong = ~values.isfinite() if name in trained else values.isnan()
            if bool(wrong.any()):
                return name
    return None


def misfit(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> tuple[str, str, str] | None:
    """Return the first name whose tensor has not the same shape in two states, and what it has."""
    for name in sorted(one.keys() | other.keys()):
        here, there = (
            f"of shape {tuple(each[name].shape)}" if name in each else "missing"
            for each in (one, other)
        )
        if here != there:
            return name, here, there
    return None


def load_weights(module: nn.Module, path: Path, owner: str) -> None:
    """Load a safetensors file into a module: every name and shape is checked, and every value.

    Raises InputError naming the first tensor that does not fit or is not finite.
    """
    tensors = read_tensors(path)
    wanted = module.state_dict()
    if unlike := misfit(tensors, wanted):
        name, here, there = unlike
        raise InputError(
            f"{owner} does not fit the network: {name!r} is {here} in {path.name} and {there} in "
            f"the network; do not change the options of a trained backbone or codec"
        )
    module.load_state_dict(tensors)
    if wrong := not_finite(wanted, module):
        raise InputError(
            f"{path} of {owner} holds values that are not finite, first in {wrong!r}; get the "
            f"file again, or train the model again"
        )

"""Weights and training states on disk: safetensors, written whole or not at all.

A checkpoint is a folder `checkpoints/00000500/` that appears by one rename, named after its step.
Everything random in a training derives from the seed and the step, so weights, averages and
optimizer state are all else that resuming exactly needs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from kernel.errors import InputError
from kernel.files import output_error, staged, synced
from kernel.record import write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "checkpoints",
    "checksum",
    "damage",
    "load_weights",
    "misfit",
    "not_finite",
    "read_tensors",
    "save_checkpoint",
    "write_tensors",
]

STATE = "state.json"
"""The file of a checkpoint with the step, and the hashes of the other files."""


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


def checksum(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor's bit patterns, int64 on the CPU; others rarely have the same."""
    import torch

    flat = tensor.detach().flatten()
    flat = torch.view_as_real(flat).flatten() if flat.is_complex() else flat
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]
    return flat.view(whole).sum(dtype=torch.int64).cpu()


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


def save_checkpoint(
    folder: Path, step: int, keep: int, tensors: Mapping[str, Mapping[str, Tensor]]
) -> Path:
    """Write the checkpoint of `step` and return its folder; of all up to it the newest `keep` stay.

    tensors: what stands in each of its files, by the file's name. Raises OutputError; the
    checkpoints before are whole then.
    """
    place = folder / "checkpoints" / f"{step:08d}"
    with staged(place, replace=True) as stage:
        files = {
            file: write_tensors(stage / file, each)
            for file, each in ((f"{name}.safetensors", each) for name, each in tensors.items())
        }
        write_json(stage / STATE, {"step": step, "files": files})
    *old, _ = (path for path in checkpoints(folder) if int(path.name) <= step)
    # A later one is damaged, or of steps that are taken anew.
    later = (path for path in checkpoints(folder) if int(path.name) > step)
    for path in (*old[: max(len(old) + 1 - keep, 0)], *later):
        shutil.rmtree(path, ignore_errors=True)
    return place


def damage(place: Path) -> str | None:
    """Return what is wrong with the files of a checkpoint, or None; those before had no hashes."""
    if not (place / STATE).is_file():
        return None if (place / "weights.safetensors").is_file() else "it has no weights"
    try:
        files: dict[str, str] = json.loads((place / STATE).read_text("utf-8"))["files"]
        for name, known in sorted(files.items()):
            if f"sha256:{sha256((place / name).read_bytes()).hexdigest()}" != known:
                return f"{name} is not as it was written"
    except (OSError, ValueError, KeyError) as error:
        return str(error)
    return None


def checkpoints(folder: Path) -> list[Path]:
    """Return the complete checkpoints of a training, the newest last; the name is the step."""
    return sorted(path for path in folder.glob("checkpoints/*") if path.name.isdigit())

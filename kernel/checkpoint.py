"""Weights and training states on disk: safetensors and JSON, written whole or not at all.

A checkpoint is a folder `checkpoints/00000500/` that appears by one rename. Everything random in a
training derives from the seed and the step, so weights, averages, optimizer state and the step are
all that resuming exactly needs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel.errors import InputError
from kernel.files import staged

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "latest",
    "load_weights",
    "read_state",
    "read_tensors",
    "save_checkpoint",
    "write_tensors",
]


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file; call inside `staged`, which makes the folder appear whole."""
    from safetensors.torch import save

    # Not save_file, which lets nobody but the owner read the file.
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    path.write_bytes(save(whole, metadata))


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


def load_weights(module: nn.Module, path: Path, owner: str) -> None:
    """Load a safetensors file into a module: every name and shape is checked, and every value.

    Raises InputError naming the first tensor that does not fit or is not finite; a buffer may hold
    infinities, as masks do.
    """
    tensors = read_tensors(path)
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            problem = f"has no tensor {name!r}"
        elif name not in wanted:
            problem = f"has a tensor {name!r} that the network does not have"
        elif tensors[name].shape != wanted[name].shape:
            here, there = tuple(tensors[name].shape), tuple(wanted[name].shape)
            problem = f"has {name!r} of shape {here} where the network has {there}"
        else:
            continue
        raise InputError(
            f"{owner} does not fit the network: {path.name} {problem}; do not change the options "
            f"of a trained backbone or codec"
        )
    module.load_state_dict(tensors)
    trained = dict(module.named_parameters())
    for name in sorted(wanted):
        values = wanted[name]
        # The sum takes a thirtieth of the time; only where it overflows are values looked at.
        if bool(values.sum().isfinite()):
            continue
        if bool((~values.isfinite() if name in trained else values.isnan()).any()):
            raise InputError(
                f"{path} of {owner} holds values that are not finite, first in {name!r}; get the "
                f"file again, or train the model again"
            )


def save_checkpoint(
    folder: Path,
    step: int,
    module: nn.Module,
    average: dict[str, Tensor],
    moments: dict[str, Tensor],
    record: dict[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint of `step` and remove all but the newest `keep`; return its folder."""
    place = folder / "checkpoints" / f"{step:08d}"
    with staged(place) as stage:
        write_tensors(stage / "weights.safetensors", module.state_dict(), {})
        write_tensors(stage / "ema.safetensors", average, {})
        write_tensors(stage / "optimizer.safetensors", moments, {})
        (stage / "state.json").write_text(json.dumps({"step": step, **record}, indent=2) + "\n")
    for old in _complete(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def latest(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of a training, or None."""
    found = _complete(folder)
    return found[-1] if found else None


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return what `state.json` of a checkpoint says."""
    state: dict[str, Any] = json.loads((checkpoint / "state.json").read_text())
    return state


def _complete(folder: Path) -> list[Path]:
    place = folder / "checkpoints"
    if not place.is_dir():
        return []
    return sorted(path for path in place.iterdir() if path.name.isdigit())

"""Training states on disk, written whole or not at all.

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

import torch
from torch import Tensor

from kernel.files import staged
from kernel.record import write_json
from kernel.tensors import write_tensors

__all__ = ["checkpoints", "checksum", "damage", "save_checkpoint"]

STATE = "state.json"
"""The file of a checkpoint with the step, and the hashes of the other files."""


def checksum(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor's bit patterns, int64 on the CPU; others rarely have the same."""
    flat = tensor.detach().flatten()
    flat = torch.view_as_real(flat).flatten() if flat.is_complex() else flat
    whole = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[flat.element_size()]
    return flat.view(whole).sum(dtype=torch.int64).cpu()


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

"""Writes tensors where they are wanted, after trying them in the model that they are for."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from kernel.errors import InputError, OutputError
from kernel.files import output_error

if TYPE_CHECKING:
    from torch import Tensor

    from kernel.foreign._stored import Stored
    from kernel.registry import Registry

__all__ = ["load", "write"]


def load(tensors: Mapping[str, Stored], half: bool = False) -> dict[str, Tensor]:
    """Read the values of tensors, those with a fraction as float16 where `half` is true.

    Raises InputError for a tensor that safetensors or float16 cannot hold.
    """
    loaded: dict[str, Tensor] = {}
    for name, stored in tensors.items():
        if stored.dtype == "complex128":
            raise InputError(
                f"the tensor {name!r} is complex128, which safetensors cannot hold; "
                "pick the others with --key"
            )
        tensor = stored.load()
        if half and tensor.is_floating_point():
            small = tensor.half()
            if not small.isfinite().equal(tensor.float().isfinite()):
                raise InputError(
                    f"the tensor {name!r} has values beyond 65504, which float16 cannot hold; "
                    "leave out --half"
                )
            tensor = small
        loaded[name] = tensor
    return loaded


def write(path: Path, tensors: dict[str, Tensor], registry: Registry) -> bool:
    """Write a safetensors file, which appears whole or not at all.

    Returns whether there is a `model.toml` beside it, whose network the tensors then fit.
    Raises InputError when they do not, and OutputError when `path` exists or cannot be written.
    """
    from kernel.checkpoint import write_tensors

    if os.path.lexists(path):
        raise OutputError(f"{path} exists already; choose another name or remove it first")
    try:
        with TemporaryDirectory(prefix=f".{path.name}.partial-", dir=path.parent) as folder:
            partial = Path(folder, path.name)
            write_tensors(partial, tensors, {"format": "pt"})
            tried = _try(partial, path.parent, registry)
            partial.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    return tried


def _try(weights: Path, folder: Path, registry: Registry) -> bool:
    """Load the weights into the network that the manifest in `folder`, if any, describes."""
    from pydantic import ValidationError

    from kernel.assembly import assemble
    from kernel.checkpoint import load_weights
    from kernel.kinds import model_kinds
    from kernel.kinds.model import Manifest
    from kernel.models import MANIFEST, WEIGHTS, ModelPack
    from kernel.registry import Selection

    path = folder / MANIFEST
    if weights.name != WEIGHTS or not path.is_file():
        return False
    try:
        manifest = Manifest.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} is not a manifest ({reason:.200}); mend it, or write the weights elsewhere"
        ) from None
    pack = ModelPack(None, folder, manifest)
    assembly, _ = assemble(registry, Selection(), (*model_kinds(), "task"), {}, manifest)
    load_weights(assembly.build_network(pack.condition), weights, f"model {pack.name}")
    return True

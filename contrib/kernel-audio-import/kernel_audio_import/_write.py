"""Writes tensors, after trying them in the network of their model."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from kernel.errors import InputError, OutputError
from kernel.files import output_error, staged

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kernel.kinds.model import Manifest
    from kernel.registry import Registry

__all__ = ["finished", "write", "write_pack"]


def finished(tensors: dict[str, Tensor], half: bool = False) -> dict[str, Tensor]:
    """Return tensors ready to write; with `half`, floating-point ones as float16.

    Empties `tensors` on the way, so memory never holds two copies of all. Raises InputError for a
    tensor that safetensors or float16 cannot hold.
    """
    done: dict[str, Tensor] = {}
    for name in list(tensors):
        tensor = tensors.pop(name)
        if str(tensor.dtype) == "torch.complex128":
            raise InputError(
                f"the tensor {name!r} is complex128, which safetensors cannot hold; "
                "pick the others with --key"
            )
        if half and tensor.is_floating_point():
            small = tensor.half()
            if not small.isfinite().equal(tensor.float().isfinite()):
                raise InputError(
                    f"the tensor {name!r} has values beyond 65504, which float16 cannot hold; "
                    "leave out --half"
                )
            tensor = small
        done[name] = tensor
    return done


def write(path: Path, tensors: dict[str, Tensor], registry: Registry) -> bool:
    """Write a safetensors file, which appears whole or not at all.

    Returns whether the tensors were tried in the network of a `model.toml` beside the file. Raises
    InputError when they do not fit it, and OutputError when `path` exists or cannot be written.
    """
    from kernel.models import MANIFEST, WEIGHTS
    from kernel.tensors import write_tensors

    if os.path.lexists(path):
        raise OutputError(f"{path} exists already; choose another name or remove it first")
    beside = path.parent / MANIFEST
    tried = path.name == WEIGHTS and beside.is_file()
    try:
        with TemporaryDirectory(prefix=f".{path.name}.partial-", dir=path.parent) as folder:
            partial = Path(folder, path.name)
            write_tensors(partial, tensors)
            if tried:
                with _told(beside, "mend it, or write the weights elsewhere"):
                    manifest = _manifest(tomllib.loads(beside.read_text("utf-8")))
                _fit(partial, manifest, f"model {path.parent}", registry)
            partial.replace(path)
    except OSError as error:
        raise output_error(path, error) from error
    return tried


def write_pack(
    folder: Path, configuration: Mapping[str, Any], tensors: dict[str, Tensor], registry: Registry
) -> None:
    """Write a model's folder, which appears whole or not at all, and try its weights before.

    configuration: the importer's content of `model.toml`. Raises InputError when it is not a
    manifest, or when the tensors do not fit the network.
    """
    from kernel.models import MANIFEST, WEIGHTS
    from kernel.tensors import write_tensors

    with staged(folder) as stage:
        write_tensors(stage / WEIGHTS, tensors)
        with _told(folder / MANIFEST, "report it to the importer's author"):
            manifest = _manifest({"parameters": 0, **configuration})
        network, owners = _fit(stage / WEIGHTS, manifest, f"model {folder}", registry)
        count = sum(each.numel() for each in network.parameters())
        owners |= manifest.distributions
        manifest = manifest.model_copy(update={"parameters": count, "distributions": owners})
        (stage / MANIFEST).write_text(manifest.toml(), "utf-8")


@contextmanager
def _told(path: Path, remedy: str) -> Iterator[None]:
    from pydantic import ValidationError

    try:
        yield
    except (ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a manifest ({reason:.200}); {remedy}") from None


def _manifest(given: Mapping[str, Any]) -> Manifest:
    from kernel.kinds.model import Manifest

    return Manifest.model_validate(given)


def _fit(
    weights: Path, manifest: Manifest, owner: str, registry: Registry
) -> tuple[nn.Module, dict[str, str]]:
    """Return a manifest's network with its weights, and the distribution of each of its parts."""
    from kernel.assembly import assemble
    from kernel.kinds import model_kinds
    from kernel.models import ModelPack
    from kernel.registry import Selection
    from kernel.tensors import load_weights

    pack = ModelPack(None, weights.parent, manifest)
    assembly, _ = assemble(registry, Selection(), (*model_kinds(), "task"), {}, manifest)
    network = assembly.build_network(pack.condition)
    load_weights(network, weights, owner)
    return network, {part.info.spelling: part.info.distribution for part in assembly.parts}

"""`mine`: the checkpoints of another project as models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from kernel import ForeignFile, ForeignTensor, Importer, InputError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Mine(Importer):
    """Checkpoints `{"project": "mine", "config": {...}, "model": {...}, "ema": {...}}`.

    To make it your own, say in `detect` what tells such a file from others, in `configuration`
    which components and options its configuration stands for, in `rename` what its tensors are
    called here, and in `weights` what has to be computed of them.
    """

    averaged: bool = Field(True, description="take the averaged weights in place of the last")

    def detect(self, file: ForeignFile) -> bool:
        """Return whether the file says that the project wrote it."""
        return bool(file.at("project", default=None) == "mine")

    def configuration(self, file: ForeignFile) -> dict[str, Any] | None:
        """Return what `model.toml` has to say. Raises InputError for another kind of network."""
        kind = file.at("config", "network", default="unet")
        if kind != "unet":
            raise InputError(f"{file.path} holds a network {kind!r}; only 'unet' can be imported")
        rate = file.at("config", "sample_rate")
        return {
            "title": "imported",
            "plugins": {
                "objective": "edm",
                "schedule": "edm",
                "backbone": "unet",
                "codec": "waveform",
                "task": "unconditional",
            },
            "options": {
                "backbone": {"width": file.at("config", "width")},
                "task": {"sample_rate": rate},
            },
            "steps": 16,
            "trained": {
                "sigma_min": 0.002,
                "sigma_max": 80.0,
                "condition_dropout": 0.0,
                "steps": file.at("step", default=0),
                "batch": 1,
                "seed": 0,
                "sample_rate": rate,
            },
        }

    def rename(self, file: ForeignFile) -> Mapping[str, ForeignTensor]:
        """Return the tensors of the average, or the last, without the prefix of the project's."""
        prefix = "ema.net." if self.averaged else "model.net."
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in file.tensors.items()
            if name.startswith(prefix)
        }

    def weights(self, file: ForeignFile) -> dict[str, Tensor]:
        """Return the tensors, each pair of a weight normalisation made one weight.

        Salimans and Kingma 2016, eq. 2: w = g v / |v|, the norm over all axes but the first.
        """
        tensors = super().weights(file)
        for name in [name for name in tensors if name.endswith(".weight_g")]:
            stem = name.removesuffix("_g")
            g, v = tensors.pop(name), tensors.pop(f"{stem}_v")
            norm = v.flatten(1).norm(dim=1).view(-1, *[1] * (v.ndim - 1))
            tensors[stem] = g * v / norm
        return tensors


@hookimpl
def importer() -> type[Importer]:
    """Offer `mine`."""
    return Mine

"""`frechet`: the Frechet distance between two sets of sounds (FAD)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import Metric, hookimpl
from kernel_plugins.metrics._heard import Heard

if TYPE_CHECKING:
    from torch import Tensor


class Frechet(Heard):
    """Return the squared Frechet distance of Gaussians fitted to the embeddings of two sets.

    Heusel et al. 2017, eq. 6; Kilgour et al. 2019 for audio (FAD). Values of different encoders
    cannot be compared, and small sets have large values; `infinity` extrapolates to an infinite set
    (Chong and Forsyth 2020; Gui et al. 2024).
    """

    higher_is_better: ClassVar[bool] = False

    infinity: bool = Field(False, description="extrapolate to infinitely many sounds")

    def score(self, sounds: Tensor, references: Tensor) -> Tensor:
        """Return the distance."""
        import torch

        from kernel_plugins.mathematics.sets import frechet, frechet_infinity

        if not self.infinity:
            return frechet(sounds, references)
        return frechet_infinity(sounds, references, torch.Generator().manual_seed(0))


@hookimpl
def metric() -> type[Metric]:
    """Offer `frechet`."""
    return Frechet

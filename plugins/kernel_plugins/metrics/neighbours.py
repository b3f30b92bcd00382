"""`neighbours`: precision, recall, density and coverage of a set of sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import Metric, hookimpl
from kernel_plugins.metrics._heard import Heard

if TYPE_CHECKING:
    from torch import Tensor


class Neighbours(Heard):
    """Return precision, recall, density and coverage in the embeddings of an encoder.

    Precision: the share of sounds within the neighbourhood of a reference. Recall: the share of
    references within the neighbourhood of a sound (Kynkaanniemi et al. 2019). Density and coverage
    count neighbourhoods of references alone and are robust to outliers (Naeem et al. 2020).
    """

    higher_is_better: ClassVar[bool] = True

    nearest: int = Field(3, ge=1, description="a neighbourhood reaches to this neighbour")

    @property
    def fewest(self) -> int:
        """Return that each vector needs so many neighbours."""
        return self.nearest + 1

    def score(self, sounds: Tensor, references: Tensor) -> dict[str, Tensor]:
        """Return the four shares by name."""
        from kernel_plugins.mathematics.sets import neighbourhoods

        return neighbourhoods(sounds, references, self.nearest)


@hookimpl
def metric() -> type[Metric]:
    """Offer `neighbours`."""
    return Neighbours

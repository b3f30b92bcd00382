"""`consistency`: a network that jumps from any noise level to the data, learnt from a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field

from kernel import Parts, Recipe, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Consistency(Recipe):
    """Train D to be the same along the flow, so that one evaluation goes as far as many.

    Song et al. 2023, algorithms 2 and 3: D(x, sigma) is drawn to what an average of the network
    says one step of the flow further down. The flow is that of `teacher`, a trained model, or
    without one that of the noise that was added.
    """

    teacher: str = Field("", description="model that the flow is taken from; none: the data's own")
    ratio: float = Field(0.8, gt=0, lt=1, description="sigma after a step, divided by sigma")
    half_life: float = Field(
        50.0, gt=0, description="steps in which the average comes half as near"
    )

    def portable(self) -> Self:
        """Return the recipe without its teacher, which may be a folder of this machine."""
        return self.model_copy(update={"teacher": ""})

    def build(self, parts: Parts) -> nn.Module:
        """Return the network and its average."""
        from .step import Step

        return Step(self, parts)


@hookimpl
def recipe() -> type[Recipe]:
    """Offer `consistency`."""
    return Consistency

"""`pndm`: the pseudo linear multistep method of Liu et al. 2022, without its warm-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.solvers._leap import carried
from kernel_plugins.solvers._linear import Linear, Update
from kernel_plugins.solvers._multistep import Prediction, adams_bashforth

WEIGHTS = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)


class Pndm(Linear):
    """Step along the weighted noise of the last evaluations, with the weights of equal steps.

    Liu et al. 2022, eq. 12 (the linear multistep part). The first steps use fewer evaluations
    instead of Runge-Kutta steps, as in Zhang and Chen 2023 (DEIS, there called iPNDM). The weights
    are those of Adams and Bashforth for equal steps, on every grid: order 2 at most. `lms` has the
    weights of the grid. One evaluation a step; the last step, to 0, returns D.
    """

    prediction: ClassVar[Prediction] = "noise"
    shortfalls: ClassVar[Mapping[str, str]] = {
        "order": "its weights are those of equal steps; the order is 2 if steps change smoothly"
    }

    slopes: int = Field(4, ge=1, le=4, description="number of evaluations that a step uses")

    @property
    def order(self) -> int:
        """Return 1 or 2."""
        return min(self.slopes, 2)

    def updates(self, sigmas: Sequence[float]) -> Iterator[Update | None]:
        """Yield the update of each step."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            if following == 0:
                yield None
                continue
            step = following - sigma
            past = range(min(index + 1, self.slopes))
            nodes = [(sigmas[index - k] - sigma) / step for k in past]
            parts = WEIGHTS[carried(adams_bashforth, nodes, self.leap_ratio) - 1]
            yield Update(1.0, tuple(step * part for part in parts))


@hookimpl
def solver() -> type[Solver]:
    """Offer `pndm`."""
    return Pndm

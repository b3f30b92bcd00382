"""`lms`: the linear multistep method of Adams and Bashforth, in sigma."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import ClassVar

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.solvers._leap import carried
from kernel_plugins.solvers._linear import Linear, Update
from kernel_plugins.solvers._multistep import Prediction, adams_bashforth


class Lms(Linear):
    """Integrate the polynomial in sigma through the last slopes (x - D) / sigma.

    Adams and Bashforth's method with the weights of the grid's own steps (Hairer, Norsett, Wanner,
    Solving ODEs I, section III.5). The first steps and leaps use fewer slopes and have a lower
    order. All other steps, also the one to 0, use `points` slopes. One evaluation a step.
    """

    prediction: ClassVar[Prediction] = "noise"

    slopes: int = Field(4, ge=1, le=4, description="number of slopes that a step uses")

    @property
    def order(self) -> int:
        """Return the order of the whole run, which the first step, Euler's, limits to 2."""
        return min(self.slopes, 2)

    def updates(self, sigmas: Sequence[float]) -> Iterator[Update | None]:
        """Yield the update of each step."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            step = following - sigma
            past = range(min(index + 1, self.slopes))
            nodes = [(sigmas[index - k] - sigma) / step for k in past]
            weights = adams_bashforth(nodes[: carried(adams_bashforth, nodes, self.leap_ratio)])
            yield Update(1.0, tuple(step * weight for weight in weights))


@hookimpl
def solver() -> type[Solver]:
    """Offer `lms`."""
    return Lms

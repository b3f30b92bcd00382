"""`lms`: the linear multistep method of Adams and Bashforth, in sigma."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._multistep import combine, quadrature

if TYPE_CHECKING:
    from torch import Tensor


class Lms(Solver):
    """Integrate the polynomial in sigma through the last slopes (x - D) / sigma.

    Adams and Bashforth's method with the weights of the grid's own steps (Hairer, Norsett, Wanner,
    Solving ODEs I, section III.5). The first steps, with fewer slopes behind them, are of lower
    order; all others, that to 0 too, use every slope. One evaluation a step.
    """

    slopes: int = Field(4, ge=1, le=4, description="how many slopes a step uses")

    @property
    def order(self) -> int:
        """Return the order of the whole run, which the first step, Euler's, limits to 2."""
        return min(self.slopes, 2)

    def trajectory(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        slopes: list[Tensor] = []  # newest first
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            slopes = [(x - x0).div_(sigma), *slopes[: self.slopes - 1]]
            step = following - sigma
            nodes = [(sigmas[index - k] - sigma) / step for k in range(len(slopes))]
            weights = quadrature(nodes, [1 / (power + 1) for power in range(len(nodes))])
            x = combine(x, 1.0, slopes, [step * weight for weight in weights])
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `lms`."""
    return Lms

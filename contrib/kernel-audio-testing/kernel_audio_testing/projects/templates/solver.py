"""`mine`: how the probability-flow ODE is followed."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from kernel import Denoise, Noise, Solver, Step, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Mine(Solver):
    """Step along dx/dsigma = (x - D) / sigma with the slope at the start of the step.

    Euler's method, which is DDIM (Song et al. 2021, eq. 13 with eta = 0). To make it your own,
    replace the update. Keep to the grid that is given, its last step to 0 too, and evaluate as
    often as `nfe` says: once a step, unless you override it.
    """

    @property
    def order(self) -> int:
        """Return 1: half the step, half the error. The checks measure it; order 2 is a quarter."""
        return 1

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            # x + (following - sigma) (x - x0) / sigma, in one operation; exactly x0 at 0.
            x = x0.lerp(x, following / sigma)
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `mine`."""
    return Mine

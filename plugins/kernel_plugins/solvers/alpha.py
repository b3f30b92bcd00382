"""`alpha`: the family of second-order Runge-Kutta methods: midpoint, Ralston, Heun."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._leap import LongRatio, late

if TYPE_CHECKING:
    from torch import Tensor


class Alpha(Solver):
    """Evaluate the slope e = (x - D) / sigma again at sigma + alpha (sigma' - sigma).

    Karras et al. 2022, algorithm 3: with s = 1 / (2 alpha),
    x' = x + (sigma' - sigma) ((1 - s) e + s e_m).
    `alpha` 1/2 is the midpoint rule, 2/3 Ralston's, 1 Heun's. Order 2. Two evaluations a step; the
    last step, to 0, takes one and returns D.
    """

    alpha: float = Field(0.5, gt=0, le=1, description="place of the second slope in the step")
    leap_ratio: LongRatio = 2.0

    @property
    def order(self) -> int:
        """Return 2."""
        return 2

    def nfe(self, steps: int) -> int:
        """Return 2 steps - 1: the last step takes one evaluation."""
        return 2 * steps - 1

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0].

        With the slopes written out, the step is Euler's with D replaced by
        D + s sigma / sigma_m (D_m - D).
        """
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = average = denoise(x, sigma)
            ratio = following / sigma
            if following > 0:
                part = 1 + self.alpha * (ratio - 1)
                share = 0.5 / (self.alpha * part)
                inner, share = late(share, part * sigma, sigma, following, self.leap_ratio)
                average = x0.lerp(denoise(x0.lerp(x, inner / sigma), inner), share)
            x = average.lerp(x, ratio)
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `alpha`."""
    return Alpha

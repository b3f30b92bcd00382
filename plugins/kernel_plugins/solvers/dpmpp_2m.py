"""`dpmpp-2m`: the second-order multistep solver DPM-Solver++(2M)."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from kernel import Denoise, Noise, Solver, Step, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class DpmPP2M(Solver):
    """Extrapolate x0 in lam = -ln sigma from the last two evaluations, then step as DDIM.

    Lu et al. 2022 (DPM-Solver++), algorithm 2: with h = lam' - lam and r = h_previous / h,

        d = (1 + 1/(2r)) D - 1/(2r) D_previous,        x' = (sigma'/sigma) x + (1 - sigma'/sigma) d.

    The first step has no past and the last, to sigma 0, has an infinite h: both take d = D.
    Order 2, one evaluation a step.
    """

    @property
    def order(self) -> int:
        """Return 2."""
        return 2

    def trajectory(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        previous: tuple[Tensor, float] | None = None
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            if following == 0:
                x = x0
            else:
                h = math.log(sigma / following)
                d = x0 if previous is None else x0.lerp(previous[0], -h / (2 * previous[1]))
                x = d.lerp(x, following / sigma)
                previous = x0, h
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-2m`."""
    return DpmPP2M

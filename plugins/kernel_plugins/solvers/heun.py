"""`heun`: the second-order sampler of Karras et al. 2022, deterministic or with churn."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._leap import LongRatio, late

if TYPE_CHECKING:
    from torch import Tensor


class Heun(Solver):
    """Average the slopes (x - D) / sigma at both ends of a step; the last step, to 0, is Euler's.

    Karras et al. 2022, algorithm 1; with `s_churn` > 0 algorithm 2, which first raises the noise of
    each step to sigma^ = (1 + gamma) sigma, gamma = min(s_churn / steps, sqrt(2) - 1), and steps
    down from sigma^. Order 2 (with churn: of the distribution), two evaluations a step. A step that
    `leap_ratio` takes for too long is one of `dpmpp-2s`.
    """

    s_churn: float = Field(0.0, ge=0, description="noise added over all steps; 0 is deterministic")
    s_min: float = Field(0.0, ge=0, description="smallest sigma at which noise is added")
    s_max: float | None = Field(
        None, ge=0, description="largest sigma at which noise is added; none: no limit"
    )
    s_noise: float = Field(1.0, gt=0, description="standard deviation of the added noise")
    leap_ratio: LongRatio = 2.0

    @property
    def order(self) -> int:
        """Return 2."""
        return 2

    @property
    def stochastic(self) -> bool:
        """Return whether there is churn."""
        return self.s_churn > 0

    def nfe(self, steps: int) -> int:
        """Return 2 steps - 1: the last step takes one evaluation."""
        return 2 * steps - 1

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0].

        The averaged slope leads to x + (sigma' - sigma) / 2 ((x - D) / sigma + (x^ - D^) / sigma'),
        where x^ is the Euler step and D^ = D(x^, sigma'). This is an Euler step with D replaced by
        D + sigma / (2 sigma') (D^ - D).
        """
        gamma = min(self.s_churn / (len(sigmas) - 1), math.sqrt(2) - 1)
        ceiling = math.inf if self.s_max is None else self.s_max
        for index, (start, following) in enumerate(pairwise(sigmas)):
            sigma = start
            if gamma > 0 and self.s_min <= start <= ceiling:
                sigma = start * (1 + gamma)
                added = self.s_noise * math.sqrt(sigma**2 - start**2)
                x = x.add(noise(start, following), alpha=added)
            x0 = average = denoise(x, sigma)
            ratio = following / sigma
            if following > 0:
                inner, share = late(0.5 / ratio, following, sigma, following, self.leap_ratio)
                average = x0.lerp(denoise(x0.lerp(x, inner / sigma), inner), share)
            x = average.lerp(x, ratio)
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `heun`."""
    return Heun

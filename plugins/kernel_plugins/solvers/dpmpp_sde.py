"""`dpmpp-sde`: the singlestep SDE form of DPM-Solver++."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._ancestral import split
from kernel_plugins.solvers._multistep import Interval

if TYPE_CHECKING:
    from torch import Tensor


class DpmPPSde(Solver):
    """Step with noise to a node inside the step, then over the whole step with x0 extrapolated.

    The stochastic DPM-Solver++ with one inner node, known from Crowson's k-diffusion (`dpmpp_sde`);
    with `eta` 0 it is DPM-Solver++(2S). The noise on the way to the node is a part of the noise of
    the step, as on one Brownian path in sigma^2. With independent noises the order of the
    distribution would be 1. Two evaluations a step; the last step, to 0, takes one and returns D.
    """

    eta: float = Field(1.0, ge=0, le=1, description="share of the noise that DDPM adds; 0 is none")
    node: float = Field(0.5, gt=0, le=1, description="place of the second evaluation in the step")

    @property
    def order(self) -> int:
        """Return 2, of the distribution when there is noise."""
        return 2

    @property
    def stochastic(self) -> bool:
        """Return whether noise is added."""
        return self.eta > 0

    def nfe(self, steps: int) -> int:
        """Return 2 steps - 1: the last step takes one evaluation."""
        return 2 * steps - 1

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = average = denoise(x, sigma)
            whole = None
            if following > 0:
                inner = Interval("x0", sigma, following).at(self.node)
                first = None
                if self.eta > 0:
                    first = noise(sigma, inner)
                    share = (sigma**2 - inner**2) / (sigma**2 - following**2)
                    whole = first * math.sqrt(share)
                    if share < 1:
                        whole.add_(noise(inner, following), alpha=math.sqrt(1 - share))
                x_inner = self._reach(x, x0, sigma, inner, first)
                average = x0.lerp(denoise(x_inner, inner), 1 / (2 * self.node))
            x = self._reach(x, average, sigma, following, whole)
            x = yield Step(index, following, x, x0)

    def _reach(
        self, x: Tensor, x0: Tensor, sigma: float, following: float, noise: Tensor | None
    ) -> Tensor:
        down, up = split(sigma, following, self.eta)
        reached = x0.lerp(x, down / sigma)
        return reached if noise is None else reached.add_(noise, alpha=up)


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-sde`."""
    return DpmPPSde

"""`euler`: Euler's method, also known as DDIM."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._ancestral import split

if TYPE_CHECKING:
    from torch import Tensor


class Euler(Solver):
    """Step along dx/dsigma = (x - D) / sigma with the slope at the start of the step.

    Song et al. 2021 (DDIM), eq. 12: with `eta` 0 it is DDIM, with 1 the sampler of DDPM, also known
    as Euler ancestral. Order 1, one evaluation a step; the last step, to 0, returns D.
    """

    eta: float = Field(0.0, ge=0, le=1, description="share of the noise that DDPM adds; 0 is none")

    @property
    def order(self) -> int:
        """Return 1."""
        return 1

    @property
    def stochastic(self) -> bool:
        """Return whether noise is added."""
        return self.eta > 0

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            down, up = split(sigma, following, self.eta)
            x = x0.lerp(x, down / sigma)
            if up > 0:
                x.add_(noise(sigma, following), alpha=up)
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `euler`."""
    return Euler

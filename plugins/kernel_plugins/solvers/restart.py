"""`restart`: Heun's method that goes back to more noise several times."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._leap import LongRatio, late

if TYPE_CHECKING:
    from torch import Tensor


class Restart(Solver):
    """At the sigma nearest to `sigma_low`, add noise up to `sigma_high` and come down again.

    Xu et al. 2023, algorithm 1: `restarts` times, each by Heun's method over a polynomial grid of
    `inner_steps` steps. The noise removes errors of the steps before. Order 2 of the distribution
    if `inner_steps` grow with the grid. Two evaluations a step, also in the inner steps; the last
    step, to 0, takes one.
    """

    shortfalls: ClassVar[Mapping[str, str]] = {
        "law": "a finer grid has as many inner steps, and these keep their error"
    }

    sigma_low: float = Field(0.3, gt=0, description="sigma at which a restart begins and ends")
    sigma_high: float = Field(2.0, gt=0, description="sigma up to which a restart adds noise")
    restarts: int = Field(2, ge=1, description="how often")
    inner_steps: int = Field(3, ge=1, description="steps on the way down again")
    rho: float = Field(7.0, gt=0, description="exponent of the inner grid")
    leap_ratio: LongRatio = 2.0

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.sigma_high <= self.sigma_low:
            raise ValueError(
                f"sigma_high {self.sigma_high} is not above sigma_low {self.sigma_low}"
            )
        return self

    @property
    def order(self) -> int:
        """Return 2, of the distribution."""
        return 2

    @property
    def stochastic(self) -> bool:
        """Return True."""
        return True

    def nfe(self, steps: int) -> int:
        """Return Heun's 2 steps - 1 and twice the inner steps of each restart.

        A single step, straight to 0, passes no sigma of a restart.
        """
        return 2 * steps - 1 + (2 * self.restarts * self.inner_steps if steps > 1 else 0)

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        inner = sigmas[1:-1]
        low = min(inner, key=lambda sigma: abs(sigma - self.sigma_low)) if inner else math.nan
        high = self.sigma_high
        if high <= low:  # on a coarse grid whose nearest sigma is above the restart
            high *= low / self.sigma_low
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x, x0 = self._heun(denoise, x, sigma, following)
            if following == low:
                for _ in range(self.restarts):
                    x = x.add(noise(high, low), alpha=math.sqrt(high**2 - low**2))
                    for start, end in pairwise(self._grid(high, low)):
                        x, x0 = self._heun(denoise, x, start, end)
            x = yield Step(index, following, x, x0)

    def _heun(
        self, denoise: Denoise, x: Tensor, sigma: float, following: float
    ) -> tuple[Tensor, Tensor]:
        """Return the state at `following` and D at `sigma`."""
        x0 = average = denoise(x, sigma)
        ratio = following / sigma
        if following > 0:
            inner, share = late(0.5 / ratio, following, sigma, following, self.leap_ratio)
            average = x0.lerp(denoise(x0.lerp(x, inner / sigma), inner), share)
        return average.lerp(x, ratio), x0

    def _grid(self, high: float, low: float) -> list[float]:
        start, end = high ** (1 / self.rho), low ** (1 / self.rho)
        parts = (index / self.inner_steps for index in range(1, self.inner_steps))
        return [high, *((start + part * (end - start)) ** self.rho for part in parts), low]


@hookimpl
def solver() -> type[Solver]:
    """Offer `restart`."""
    return Restart

"""`ddpm`: the reverse Markov chain of Ho et al. 2020."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Ddpm(Solver):
    """Draw from the Gaussian of the chain's next state, with its mean at x0 = D.

    Ho et al. 2020, eq. 6 and 7, divided by the scale of their x: with q = (sigma'/sigma)^2 the mean
    is q x + (1 - q) D. The variance is that of the posterior given x0 (their beta-tilde), as in
    `euler` with eta 1, or that of data N(0, data_std^2 I) (their beta). One evaluation a step; the
    last step, to 0, returns D.
    """

    variance: Literal["posterior", "data"] = Field(
        "posterior", description="beta-tilde, exact for a point, or beta, exact for normal data"
    )
    data_std: float = Field(1.0, gt=0, description="standard deviation of the data, for 'data'")

    @property
    def order(self) -> int:
        """Return 1, of the distribution."""
        return 1

    @property
    def stochastic(self) -> bool:
        """Return True."""
        return True

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            x = x0.lerp(x, (following / sigma) ** 2)
            if following > 0:
                x.add_(noise(sigma, following), alpha=self._std(sigma, following))
            x = yield Step(index, following, x, x0)

    def _std(self, sigma: float, following: float) -> float:
        """Return the standard deviation of the noise in the step from sigma to following."""
        removed = sigma**2 - following**2
        data = self.data_std**2 if self.variance == "data" else 0.0
        return math.sqrt(removed * (following**2 + data) / (sigma**2 + data))


@hookimpl
def solver() -> type[Solver]:
    """Offer `ddpm`."""
    return Ddpm

"""`euler-maruyama`: the reverse SDE, one step at a time."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._reverse import NoiseLimit, reverse

if TYPE_CHECKING:
    from torch import Tensor


class EulerMaruyama(Solver):
    """Step along the score and add the noise of the reverse SDE, dx = -2 sigma score dsigma + dw.

    Song et al. 2021 (score SDE), eq. 6, with the variance of a step taken as sigma^2 - sigma'^2
    (their reverse diffusion sampler, eq. 46) or, with `form` `euler`, as 2 sigma (sigma - sigma').
    Theirs has no `noise_limit`; without it few steps end in noise.
    Order 1 of the distribution, one evaluation a step; the last step, to 0, returns D.
    """

    form: Literal["reverse-diffusion", "euler"] = Field(
        "reverse-diffusion", description="discretisation of a step's variance"
    )
    noise_limit: NoiseLimit = 1.0

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
            if following == 0:
                x = x0
            else:
                frozen = self.form == "euler"
                x = reverse(x, x0, sigma, following, noise, frozen, self.noise_limit)
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `euler-maruyama`."""
    return EulerMaruyama

"""`euler`: one straight step at a time, which is DDIM."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from kernel import Denoise, Noise, Solver, Step, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Euler(Solver):
    """Step along dx/dsigma = (x - D) / sigma with the slope at the start of the step.

    Song et al. 2021 (DDIM), eq. 13 with eta = 0; order 1, one evaluation a step.
    """

    @property
    def order(self) -> int:
        """Return 1."""
        return 1

    def trajectory(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            x = x0.lerp(x, following / sigma)
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `euler`."""
    return Euler

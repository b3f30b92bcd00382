"""A lab's own solver, under the name of a shipped one and with an option of its own."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Private(Solver):
    """Step as Euler's method does, towards where the estimate of x0 is moving.

    A share of the estimate's last change is added to it. With a half and a grid that is even in
    log sigma this is DPM-Solver++(2M) (Lu et al. 2022) to second order.
    """

    memory: float = Field(0.5, ge=0, le=1, description="share of the last change of x0 to add")

    @property
    def order(self) -> int:
        """Return 1, which it has on every grid."""
        return 1

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        before = None
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            aim = x0 if before is None else x0.lerp(before, -self.memory)
            x = x0 if following == 0 else aim.lerp(x, following / sigma)
            before = x0
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer the solver; the entry point names it."""
    return Private

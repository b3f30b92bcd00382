"""`ab2`: the second-order method of Adams and Bashforth."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from kernel import Denoise, Noise, Solver, Step, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Ab2(Solver):
    """Step along (3 e - e_before) / 2, e = (x - D) / sigma, weighted for steps of unequal length.

    The second-order method of Adams and Bashforth (Hairer, Norsett, Wanner, Solving ODEs I,
    section III.5), in sigma. The first step is Euler's; the last step, to 0, returns D.
    """

    @property
    def order(self) -> int:
        """Return 2."""
        return 2

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        before, step_before = None, 1.0
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            slope, step = (x - x0) / sigma, following - sigma
            average = slope
            if before is not None:
                average = slope.lerp(before, -step / (2 * step_before))
            x = x0 if following == 0 else x.add(average, alpha=step)
            before, step_before = slope, step
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `ab2`."""
    return Ab2

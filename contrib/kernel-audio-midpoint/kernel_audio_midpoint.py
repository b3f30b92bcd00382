from itertools import pairwise
from typing import ClassVar

from kernel import Solver, Step, hookimpl


class Midpoint(Solver):
    """Step with the slope in the middle of the step (explicit midpoint rule)."""

    order: ClassVar[int] = 2

    def nfe(self, steps):
        return 2 * steps - 1

    def trajectory(self, denoise, x, sigmas, noise):
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            if following == 0:
                x = x0
            else:
                middle = (sigma + following) / 2
                x_middle = x0.lerp(x, middle / sigma)
                slope = (x_middle - denoise(x_middle, middle)) / middle
                x = x.add(slope, alpha=following - sigma)
            x = yield Step(index, following, x, x0)


@hookimpl
def solver():
    return Midpoint

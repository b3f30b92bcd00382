"""`midpoint`: the explicit midpoint rule."""

from itertools import pairwise

from kernel import Solver, Step, hookimpl


class Midpoint(Solver):
    """Step with the slope in the middle of the step (explicit midpoint rule)."""

    @property
    def order(self):
        """Return 2."""
        return 2

    def nfe(self, steps):
        """Return two for each step but the last, which goes to 0."""
        return 2 * steps - 1

    def trajectory(self, denoise, x, sigmas, noise):
        """Yield a Step after each update."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            if following > 0:
                middle = (sigma + following) / 2
                x_middle = x0.lerp(x, middle / sigma)
                slope = (x_middle - denoise(x_middle, middle)) / middle
                x = x.add(slope, alpha=following - sigma)
            else:
                x = x0
            x = yield Step(index, following, x, x0)


@hookimpl
def solver():
    """Offer `midpoint`."""
    return Midpoint

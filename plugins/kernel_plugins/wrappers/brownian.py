"""`brownian`: takes the noise of a solver from one Brownian path for each item."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from kernel import Denoise, NativePath, Noise, Solver, Step, Wrapper, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Brownian(Wrapper):
    """Take the noise of a stochastic solver from one Brownian path for each item.

    The path's clock is sigma^2, the variance that the reverse SDE adds (Song et al. 2021 (score
    SDE), eq. 6, for the variance exploding process). The noise of a step, times the root of its
    sigma^2 - sigma'^2, is the sum of the noises of its parts. Finer grids therefore refine the same
    path, and their results converge. The path of an item derives from the item's first noise in the
    run.

    A path goes down once. A solver that goes back to more noise, such as `restart` or the corrector
    of `pc`, is refused when it draws.
    """

    @hookimpl(wrapper=True)
    def build_solver(self) -> Generator[None, Solver, Solver]:
        """Return a solver that gives the noise of paths to the inner solver."""
        return BrownianSolver(inner=(yield))


class BrownianSolver(Solver):
    """A solver whose noise is that of Brownian paths."""

    inner: Solver

    @property
    def order(self) -> int:
        """Return the order of the inner solver."""
        return self.inner.order

    @property
    def stochastic(self) -> bool:
        """Return whether the inner solver draws noise."""
        return self.inner.stochastic

    def nfe(self, steps: int) -> int:
        """Return the evaluations of the inner solver."""
        return self.inner.nfe(steps)

    def along(self, path: NativePath | None, origin: Tensor | None) -> Solver:
        """Return the wrapper around the inner solver, taken along the process."""
        return BrownianSolver(inner=self.inner.along(path, origin))

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield the Steps of the inner solver."""
        from kernel_plugins.wrappers._paths import PathNoise

        yield from self.inner.steps(denoise, x, sigmas, PathNoise(noise, sigmas[0]))


@hookimpl
def wrapper() -> type[Wrapper]:
    """Offer `brownian`."""
    return Brownian

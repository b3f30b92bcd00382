"""`dpm-3s`: the third-order singlestep DPM-Solver."""

from __future__ import annotations

from kernel import Solver, hookimpl
from kernel_plugins.solvers._singlestep import OfNoise, Stage


class Dpm3S(OfNoise):
    """Evaluate the noise again at a third and at two thirds of the step in ln sigma.

    Lu et al. 2022 (DPM-Solver), algorithm 5 with r1 = 1/3, r2 = 2/3. Order 3. Three evaluations a
    step; the last step, to 0, takes one and returns D.
    """

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return three stages, at 1/3, 2/3 and 1."""
        return (1 / 3, (0,)), (2 / 3, (0, 1)), (1.0, (0, 2))


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpm-3s`."""
    return Dpm3S

"""`dpmpp-2m`: the second-order multistep solver DPM-Solver++(2M)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.solvers._adams import StochasticAdams
from kernel_plugins.solvers._multistep import Interval


class DpmPP2M(StochasticAdams):
    """Extrapolate x0 in lam = -ln sigma from the last two evaluations, then step as DDIM.

    Lu et al. 2022 (DPM-Solver++), algorithm 2: with h = lam' - lam and r = h_previous / h,

        d = (1 + 1/(2r)) D - 1/(2r) D_previous,        x' = (sigma'/sigma) x + (1 - sigma'/sigma) d.

    The first step has no past and the last, to sigma 0, has an infinite h: both take d = D. With
    `eta` 1 it is their SDE form (2M SDE). Order 2, one evaluation a step.
    """

    points: ClassVar[int] = 2

    exact: bool = Field(False, description="integrate a line exactly, not by the half rule")

    def weights(self, interval: Interval, nodes: Sequence[float]) -> list[float]:
        """Return the weights of the half rule, or the exact ones."""
        moments = interval.moments(len(nodes))
        if len(nodes) == 2 and not self.exact:
            moments[1] = interval.half()
        return interval.weights(nodes, moments)


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-2m`."""
    return DpmPP2M

"""`dpmpp-2m`: the second-order multistep solver DPM-Solver++(2M)."""

from __future__ import annotations

from kernel import Solver, hookimpl
from kernel_plugins.solvers._adams import Line, StochasticAdams


class DpmPP2M(Line, StochasticAdams):
    """Extrapolate x0 in lam = -ln sigma from the last two evaluations, then step as DDIM.

    Lu et al. 2022 (DPM-Solver++), algorithm 2: with h = lam' - lam and r = h_previous / h,

        d = (1 + 1/(2r)) D - 1/(2r) D_previous,        x' = (sigma'/sigma) x + (1 - sigma'/sigma) d.

    The first step has no past, and the last step, to sigma 0, has an infinite h: both take d = D.
    With `eta` 1 it is their SDE form (2M SDE). Order 2, one evaluation a step.
    """


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-2m`."""
    return DpmPP2M

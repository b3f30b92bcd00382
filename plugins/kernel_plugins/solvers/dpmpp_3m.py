"""`dpmpp-3m`: the third-order multistep solver DPM-Solver++(3M), with its full third order."""

from __future__ import annotations

from kernel import Solver, hookimpl
from kernel_plugins.solvers._adams import Parabola, StochasticAdams


class DpmPP3M(Parabola, StochasticAdams):
    """Extrapolate x0 in lam = -ln sigma by the parabola through the last three evaluations.

    The third-order multistep form of DPM-Solver++ (Lu et al. 2022). Public codes give the
    parabola's curvature half its weight (`published`). Steps with three evaluations have order 3.
    With `eta` 1 it is the SDE form. One evaluation a step.
    """


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-3m`."""
    return DpmPP3M

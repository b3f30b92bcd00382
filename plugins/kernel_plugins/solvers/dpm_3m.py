"""`dpm-3m`: the third-order multistep DPM-Solver, with its full third order."""

from __future__ import annotations

from typing import ClassVar

from kernel import Solver, hookimpl
from kernel_plugins.solvers._adams import Parabola
from kernel_plugins.solvers._multistep import Prediction


class Dpm3M(Parabola):
    """Extrapolate the noise in lam = -ln sigma by the parabola through the last three evaluations.

    The multistep form of DPM-Solver (Lu et al. 2022) with noise prediction. Public codes give the
    parabola's curvature half its weight (`published`). Steps with three evaluations have order 3.
    One evaluation a step.
    """

    prediction: ClassVar[Prediction] = "noise"


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpm-3m`."""
    return Dpm3M

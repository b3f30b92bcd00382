"""`dpm-2m`: the second-order multistep DPM-Solver."""

from __future__ import annotations

from typing import ClassVar

from kernel import Solver, hookimpl
from kernel_plugins.solvers._adams import Line
from kernel_plugins.solvers._multistep import Prediction


class Dpm2M(Line):
    """Extrapolate the noise in lam = -ln sigma from the last two evaluations.

    The multistep form of DPM-Solver (Lu et al. 2022) with noise prediction. With `exact` it is the
    exponential Adams method of order 2. Order 2, one evaluation a step.
    """

    prediction: ClassVar[Prediction] = "noise"


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpm-2m`."""
    return Dpm2M

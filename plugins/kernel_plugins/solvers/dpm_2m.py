"""`dpm-2m`: the second-order multistep DPM-Solver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.solvers._adams import Adams
from kernel_plugins.solvers._multistep import Interval, Prediction


class Dpm2M(Adams):
    """Extrapolate the noise in lam = -ln sigma from the last two evaluations.

    The multistep form of DPM-Solver (Lu et al. 2022) with noise prediction; `exact` is also the
    exponential Adams method of order 2. Order 2, one evaluation a step.
    """

    prediction: ClassVar[Prediction] = "noise"
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
    """Offer `dpm-2m`."""
    return Dpm2M

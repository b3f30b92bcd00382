"""`dpmpp-3s`: the third-order singlestep DPM-Solver++."""

from __future__ import annotations

from typing import ClassVar

from kernel import Solver, hookimpl
from kernel_plugins.solvers._multistep import Prediction
from kernel_plugins.solvers._singlestep import Singlestep, Stage


class DpmPP3S(Singlestep):
    """Evaluate x0 again at a third and at two thirds of the step in ln sigma.

    Lu et al. 2022 (DPM-Solver++), appendix A, with r1 = 1/3, r2 = 2/3. Order 3. Three evaluations a
    step; the last step, to 0, takes one and returns D.
    """

    prediction: ClassVar[Prediction] = "x0"

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return three stages, at 1/3, 2/3 and 1."""
        return (1 / 3, (0,)), (2 / 3, (0, 1)), (1.0, (0, 2))


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-3s`."""
    return DpmPP3S

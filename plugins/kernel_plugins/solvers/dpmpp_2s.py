"""`dpmpp-2s`: the second-order singlestep DPM-Solver++."""

from __future__ import annotations

from typing import ClassVar

from kernel import Solver, hookimpl
from kernel_plugins.solvers._multistep import Prediction
from kernel_plugins.solvers._singlestep import TwoStage


class DpmPP2S(TwoStage):
    """Evaluate x0 again inside the step, at the geometric mean of its ends.

    Lu et al. 2022 (DPM-Solver++), algorithm 1 with r = `node`; with `eta` 1 its ancestral form.
    Order 2. Two evaluations a step; the last step, to 0, takes one and returns D.
    """

    prediction: ClassVar[Prediction] = "x0"


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-2s`."""
    return DpmPP2S

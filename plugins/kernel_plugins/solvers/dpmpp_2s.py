"""`dpmpp-2s`: the second-order singlestep DPM-Solver++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.solvers._multistep import Interval, Prediction
from kernel_plugins.solvers._singlestep import Singlestep, Stage


class DpmPP2S(Singlestep):
    """Evaluate x0 again inside the step, at the geometric mean of its ends.

    Lu et al. 2022 (DPM-Solver++), algorithm 1 with r = `node`; with `eta` 1 its ancestral form.
    Order 2, two evaluations a step and one in the last, to 0, which returns D.
    """

    prediction: ClassVar[Prediction] = "x0"

    node: float = Field(0.5, gt=0, le=1, description="where in the step the second evaluation is")
    exact: bool = Field(False, description="integrate a line exactly, not by the half rule")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return two stages."""
        return (self.node, (0,)), (1.0, (0, 1))

    def weights(self, interval: Interval, nodes: Sequence[float]) -> list[float]:
        """Return the exact weights, or those of the half rule where there are two."""
        moments = interval.moments(len(nodes))
        if len(nodes) == 2 and not self.exact:
            moments[1] = interval.half()
        return interval.weights(nodes, moments)


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpmpp-2s`."""
    return DpmPP2S

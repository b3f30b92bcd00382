"""`dpm-2s`: the second-order singlestep DPM-Solver."""

from __future__ import annotations

from kernel import Solver, hookimpl
from kernel_plugins.solvers._singlestep import OfNoise, TwoStage


class Dpm2S(OfNoise, TwoStage):
    """Evaluate the noise again inside the step, at the geometric mean of its ends.

    Lu et al. 2022 (DPM-Solver), algorithm 4 with r1 = `node`. With the defaults it is
    x' = x + (sigma' - sigma) e(x_m, sigma_m), also known as DPM-2, and with `eta` 1 its ancestral
    form. Order 2. Two evaluations a step; the last step, to 0, takes one and returns D.
    """


@hookimpl
def solver() -> type[Solver]:
    """Offer `dpm-2s`."""
    return Dpm2S

"""`rk45`: the adaptive method of Dormand and Prince."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, UsageError, hookimpl
from kernel_plugins.solvers._multistep import combine

if TYPE_CHECKING:
    from torch import Tensor

NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
STAGES = (
    (),
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
FOURTH = (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40)


class Rk45(Solver):
    """Choose the steps in sigma between two values of the grid by the error of each step.

    Dormand and Prince 1980, table 2, with the fifth-order result and the error of the fourth; the
    last evaluation of a step is the first of the next. The error is the root mean square of
    error / (atol + rtol |x|) over an item; the worst item decides. The grid gives only the sigmas
    of the yielded states; its last step, to 0, returns D.
    """

    shortfalls: ClassVar[Mapping[str, str]] = {
        "nfe": "the number of evaluations depends on the sound",
        "batch": "the worst item of a batch decides on the step",
        "device": "the host has to see the error before it decides on the step",
    }

    rtol: float = Field(1e-5, gt=0, description="error of a step relative to the state")
    atol: float = Field(1e-5, gt=0, description="absolute error of a step")
    safety: float = Field(0.9, gt=0, lt=1, description="share of the allowed error to aim at")
    limit: int = Field(2000, ge=1, description="largest number of steps, made or tried")

    @property
    def order(self) -> int:
        """Return 5."""
        return 5

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0].

        Raises UsageError after `limit` tried steps without an end.
        """
        tried = 0
        reach = 0.0  # the length of a step, kept from one pair of sigmas to the next
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            if following == 0:
                x = x0
            else:
                first = (x - x0) / sigma
                reach = reach or (sigma - following) / 10
                at = sigma
                while at > following:
                    step = min(reach, at - following)
                    if (tried := tried + 1) > self.limit:
                        raise UsageError(
                            f"solver 'rk45' tried {self.limit} steps and reached only sigma "
                            f"{at:.4g}; weaken the guidance, raise -o solver.rtol or "
                            f"-o solver.limit, or take a solver with fixed steps"
                        )
                    x_new, last, error = self._attempt(denoise, x, first, at, step)
                    reach = step * min(5.0, max(0.2, self.safety * max(error, 1e-10) ** -0.2))
                    if error <= 1 or step < 1e-9 * at:
                        x, first = x_new, last
                        at = following if step == at - following else at - step
            x = yield Step(index, following, x, x0)

    def _attempt(
        self, denoise: Denoise, x: Tensor, first: Tensor, sigma: float, step: float
    ) -> tuple[Tensor, Tensor, float]:
        """Return the state after a step down by `step`, the slope there, and the worst error."""
        slopes = [first]
        reached = x
        for node, row in zip(NODES[1:], STAGES[1:], strict=True):
            reached = combine(x, 1.0, slopes, [-step * weight for weight in row])
            inner = sigma - node * step
            slopes.append((reached - denoise(reached, inner)) / inner)
        weights = [
            step * (fifth - fourth)
            for fifth, fourth in zip((*STAGES[-1], 0.0), FOURTH, strict=True)
        ]
        error = combine(x, 0.0, slopes, weights)
        allowed = self.atol + self.rtol * x.abs().maximum(reached.abs())
        each = (error / allowed).square().flatten(1).mean(1).sqrt()
        return reached, slopes[-1], float(each.max())


@hookimpl
def solver() -> type[Solver]:
    """Offer `rk45`."""
    return Rk45

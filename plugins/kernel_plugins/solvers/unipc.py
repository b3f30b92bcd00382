"""`unipc`: the unified predictor-corrector of Zhao et al. 2023."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise, zip_longest
from typing import Literal

from pydantic import Field

from kernel import Solver, hookimpl
from kernel_plugins.solvers._leap import carried
from kernel_plugins.solvers._linear import Linear, Update
from kernel_plugins.solvers._multistep import Interval, Prediction


class UniPC(Linear):
    """Predict with the last p evaluations, then correct with the next one, which is reused.

    Zhao et al. 2023, algorithms 5 to 8 (multistep UniPC): one evaluation a step. The first steps
    use p = 1, 2, ...; the last step, to sigma 0, returns D. Orders above 2 help on grids whose
    steps in ln sigma are well below 1, that is with many steps.
    """

    predictor_order: int = Field(
        2, ge=1, le=4, description="evaluations p that a prediction uses; the corrector adds one"
    )
    corrector: bool = Field(True, description="correct each state with the next evaluation")
    variant: Literal["bh1", "bh2"] = Field(
        "bh2", description="B(h) for steps with two evaluations: h, or exp(h) - 1"
    )
    prediction: Prediction = Field(
        "x0", description="model that is a polynomial in ln sigma: x0 or the noise"
    )
    lower_order_final: bool = Field(
        True, description="use p = 3, 2 in the steps before the last, a leap in ln sigma"
    )

    @property
    def order(self) -> int:
        """Return the order of the whole run, which its first steps limit to 3 (2 uncorrected).

        Steps with all p evaluations have the order p + 1 (p uncorrected). The first step has only
        one evaluation, and its error, h^3 (h^2 uncorrected), stays.
        """
        return min(self.predictor_order + 1, 3) if self.corrector else min(self.predictor_order, 2)

    def updates(self, sigmas: Sequence[float]) -> Iterator[Update | None]:
        """Yield the update of each step, which leads to the predicted state.

        Predictor and corrector of a step differ only in the weights of the evaluations. The
        correction is therefore added to the state that comes back, in the next prediction.
        """
        correction: list[float] = []
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            if following == 0:
                yield None
                continue
            interval = Interval(self.prediction, sigma, following)
            predictor, corrector = self._weights(interval, sigmas, index)
            both = zip_longest(correction, predictor, fillvalue=0.0)
            weights = tuple(interval.scale * late + new for late, new in both)
            yield Update(interval.scale, weights)
            correction = corrector

    def _weights(
        self, interval: Interval, sigmas: Sequence[float], index: int
    ) -> tuple[list[float], list[float]]:
        """Return the predictor's weights in step `index` and the corrector's additions.

        Newest first: the predictor's weights begin with the evaluation at the start of the step,
        the corrector's with the evaluation at its end.
        """
        p = min(self.predictor_order, index + 1)
        if self.lower_order_final:
            p = min(p, len(sigmas) - 1 - index)
        nodes = [interval.node(sigmas[index - k]) for k in range(p)]
        rule = partial(self._rule, interval, interval.moments(p + 1))
        nodes = nodes[: carried(rule, nodes, self.leap_ratio)]
        predictor = rule(nodes)
        if not self.corrector:
            return predictor, []
        end, *rest = rule([1.0, *nodes])
        return predictor, [end, *(late - new for late, new in zip(rest, predictor, strict=True))]

    def _rule(
        self, interval: Interval, moments: Sequence[float], nodes: Sequence[float]
    ) -> list[float]:
        """Return the quadrature weights of `nodes`; for two nodes the first moment is B(h) / 2."""
        if len(nodes) == 2:
            half = interval.z / 2 if self.variant == "bh1" else interval.half()
            return interval.weights(nodes, [moments[0], half])
        return interval.weights(nodes, moments[: len(nodes)])


@hookimpl
def solver() -> type[Solver]:
    """Offer `unipc`."""
    return UniPC

"""`unipc`: the unified predictor-corrector of Zhao et al. 2023."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from itertools import pairwise, zip_longest
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, hookimpl
from kernel_plugins.solvers._multistep import combine, moments, quadrature

if TYPE_CHECKING:
    from torch import Tensor


class UniPC(Solver):
    """Predict with the last p evaluations, then correct with the next one, which is reused.

    Zhao et al. 2023, algorithms 5 to 8 (multistep UniPC): one evaluation a step. The first steps,
    with fewer evaluations behind them, use p = 1, 2, ...; the last, to sigma 0, returns D. More
    than 2 pays off on grids whose steps in ln sigma are well below 1, that is with many steps.
    """

    predictor_order: int = Field(
        2, ge=1, le=4, description="evaluations p that a prediction uses; the corrector adds one"
    )
    corrector: bool = Field(True, description="correct each state with the next evaluation")
    variant: Literal["bh1", "bh2"] = Field(
        "bh2", description="B(h) where two evaluations are used: h, or exp(h) - 1"
    )
    prediction: Literal["x0", "noise"] = Field(
        "x0", description="what is taken for a polynomial in ln sigma: x0 or the noise"
    )
    lower_order_final: bool = Field(
        True, description="use p = 3, 2 in the steps before the last, where ln sigma leaps"
    )

    @property
    def order(self) -> int:
        """Return the order of the whole run, which its first steps limit to 3 (2 uncorrected).

        Steps with all p evaluations have the order p + 1 (p uncorrected), but the first step has
        only one, and its error, h^3 (h^2 uncorrected), stays.
        """
        return min(self.predictor_order + 1, 3) if self.corrector else min(self.predictor_order, 2)

    def trajectory(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0].

        The yielded state is the predicted one. Predictor and corrector of a step differ only in the
        weights of the evaluations, so the correction is an addition to whatever state comes back,
        and it is made together with the next prediction.
        """
        models: list[Tensor] = []  # the evaluations that are still needed, newest first
        correction: list[float] = []
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            if following == 0:
                x = x0
            else:
                x0_form = self.prediction == "x0"
                scale = following / sigma if x0_form else 1.0
                predictor, corrector = self._weights(sigmas, index)
                both = zip_longest(correction, predictor, fillvalue=0.0)
                weights = [scale * late + new for late, new in both]
                model = x0 if x0_form else (x - x0) / sigma
                models = [model, *models][: len(weights)]
                x = combine(x, scale, models, weights)
                correction = corrector
            x = yield Step(index, following, x, x0)

    def _weights(self, sigmas: Sequence[float], index: int) -> tuple[list[float], list[float]]:
        """Return the predictor's weights in step `index` and what the corrector adds to them.

        Newest first: the predictor's begin with the evaluation at the start of the step, the
        corrector's with the one at its end.
        """
        sigma, following = sigmas[index : index + 2]
        h = math.log(sigma / following)
        z, factor = (-h, -1.0) if self.prediction == "x0" else (h, -following)
        p = min(self.predictor_order, index + 1)
        if self.lower_order_final:
            p = min(p, len(sigmas) - 1 - index)
        nodes = [math.log(sigma / sigmas[index - k]) / h for k in range(p)]
        exact = [factor * moment for moment in moments(z, p + 1)]
        half = factor * (z if self.variant == "bh1" else math.expm1(z)) / 2
        predictor = self._rule(nodes, exact, half)
        if not self.corrector:
            return predictor, []
        end, *rest = self._rule([1.0, *nodes], exact, half)
        return predictor, [end, *(late - new for late, new in zip(rest, predictor, strict=True))]

    def _rule(self, nodes: list[float], exact: list[float], half: float) -> list[float]:
        """Return the quadrature weights of `nodes`, of which two take B(h) / 2 for a moment."""
        return quadrature(nodes, [exact[0], half] if len(nodes) == 2 else exact[: len(nodes)])


@hookimpl
def solver() -> type[Solver]:
    """Offer `unipc`."""
    return UniPC

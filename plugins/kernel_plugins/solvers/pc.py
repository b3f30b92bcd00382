"""`pc`: a predictor for the reverse SDE and Langevin steps that correct it."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step, UsageError, hookimpl
from kernel_plugins.solvers._reverse import NoiseLimit, reverse

if TYPE_CHECKING:
    from torch import Tensor

    from kernel import NativePath


class PredictorCorrector(Solver):
    """At each sigma, first correct by Langevin steps, then predict the state at the next sigma.

    Song et al. 2021 (score SDE), algorithms 2 to 5, in the order of SGMSE+ (Richter et al. 2023,
    algorithm 1). An annealed Langevin step moves by 2 snr^2 sigma^2 along the score and adds noise
    of standard deviation 2 snr sigma. `langevin` scales the step by each item's own score (their
    algorithm 5 with norms of items). One evaluation for each correction and each prediction; the
    last step, to 0, returns D.

    The predictor `native` is that of SGMSE+: it steps in the time of a process that drifts to an
    origin. `reverse-diffusion` steps in sigma; the change of variables then makes the drift
    exactly. `noise_limit` is for the predictors in sigma.
    """

    shortfalls: ClassVar[Mapping[str, str]] = {
        "law": "corrections of one size keep an error of their own, which falls as its root"
    }

    predictor: Literal["reverse-diffusion", "euler-maruyama", "ode", "native"] = Field(
        "reverse-diffusion", description="method of the step to the next sigma"
    )
    corrector: Literal["annealed", "langevin"] = Field(
        "annealed", description="Langevin steps that scale with sigma, or with the score"
    )
    corrections: int = Field(1, ge=0, description="Langevin steps at each sigma")
    snr: float = Field(0.5, gt=0, lt=0.707, description="signal-to-noise ratio of a Langevin step")
    noise_limit: NoiseLimit = 1.0

    _path: NativePath | None = None
    _origin: Tensor | None = None

    @property
    def needs(self) -> frozenset[str]:
        """Return `path`, the objective's native time, for the predictor `native`."""
        return frozenset({"path"}) if self.predictor == "native" else frozenset()

    @property
    def order(self) -> int:
        """Return 1, of the distribution."""
        return 1

    @property
    def stochastic(self) -> bool:
        """Return whether the predictor or a correction adds noise."""
        return self.corrections > 0 or self.predictor != "ode"

    def nfe(self, steps: int) -> int:
        """Return one evaluation for each prediction and each correction."""
        return steps * (1 + self.corrections)

    def along(self, path: NativePath | None, origin: Tensor | None) -> Self:
        """Return the solver that knows the process and its origin."""
        solver = self.model_copy()
        solver._path, solver._origin = path, origin
        return solver

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0].

        Raises UsageError when the predictor needs a path and `along` gave none.
        """
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            for _ in range(self.corrections):
                x = self._correct(x, denoise(x, sigma), sigma, noise(sigma, sigma))
            x0 = denoise(x, sigma)
            if following == 0:
                x = x0
            elif self.predictor == "native":
                x = self._native(x, x0, sigma, following, noise)
            else:
                x = self._predict(x, x0, sigma, following, noise)
            x = yield Step(index, following, x, x0)

    def _correct(self, x: Tensor, x0: Tensor, sigma: float, normal: Tensor) -> Tensor:
        if self.corrector == "annealed":
            return x.lerp(x0, 2 * self.snr**2).add_(normal, alpha=2 * self.snr * sigma)
        # The step 2 (snr |n| / |score|)^2, with score = (D - x) / sigma^2, in units of sigma^2.
        axes = tuple(range(1, x.ndim))
        towards = x0 - x
        lengths = normal.square().sum(axes, keepdim=True) / towards.square().sum(axes, keepdim=True)
        step = (2 * self.snr**2 * sigma**2 * lengths).nan_to_num(0.0, 0.0, 0.0)
        return x.addcmul(towards, step).addcmul_(normal, (2 * step).sqrt_().mul_(sigma))

    def _predict(
        self, x: Tensor, x0: Tensor, sigma: float, following: float, noise: Noise
    ) -> Tensor:
        if self.predictor == "ode":
            return x0.lerp(x, following / sigma)
        frozen = self.predictor == "euler-maruyama"
        return reverse(x, x0, sigma, following, noise, frozen, self.noise_limit)

    def _native(
        self, x: Tensor, x0: Tensor, sigma: float, following: float, noise: Noise
    ) -> Tensor:
        """Return the state after an Euler-Maruyama step of x_t = a x + b y.

        Richter et al. 2023, algorithm 1, for any process. The drift of x_t is a' x + b' y, its
        diffusion a^2 (sigma^2)' and its score (D - x) / (a sigma^2), all at the start of the step.
        """
        if self._path is None:
            raise UsageError(
                "pc with predictor 'native' was given no process to step in the time of"
            )
        time, end = self._path.time(sigma), self._path.time(following)
        step = time - end
        (a, b), (a_end, b_end) = self._path.coefficients(time), self._path.coefficients(end)
        a_rate, b_rate, variance_rate = self._path.rates(time)
        variance = variance_rate * step
        reached = x.mul((a - a_rate * step - a * variance / sigma**2) / a_end)
        reached.add_(x0, alpha=a * variance / sigma**2 / a_end)
        if self._origin is not None:
            reached.add_(self._origin, alpha=(b - b_rate * step - b_end) / a_end)
        return reached.add_(noise(sigma, following), alpha=a * math.sqrt(variance) / a_end)


@hookimpl
def solver() -> type[Solver]:
    """Offer `pc`."""
    return PredictorCorrector

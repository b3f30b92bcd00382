"""`projection`: data consistency, by replacing what is known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kernel import (
    Condition,
    Context,
    Denoise,
    Guidance,
    GuidedDenoise,
    Measurement,
    UsageError,
    hookimpl,
)
from kernel_plugins.guidance._likelihood import measured

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from kernel import Noise


class Projection(Guidance):
    """Project the estimate, or the state that it is made from, on what agrees with the target.

    P is the task's projection, A x = y what it fulfils. Whatever the mode, the result is P(x) of
    the last state, so that it agrees exactly.

        x0       D' = P(D): the estimate agrees at every sigma (Moliner et al. 2023, CQTdiff)
        noised   the denoiser sees P(x - sigma n) + sigma n: the target, noised like x (Song et al.
                 2021 (score SDE), section I.2; Lugmayr et al. 2022, eq. 8), with one n for the run,
                 or a `fresh` one each time
        literal  it sees k P(x / k), k = sqrt(1 + sigma^2 / sigma_data^2): the target without noise
                 in the variance-preserving state x / k, from the start on (Levy et al. 2023,
                 algorithms 1 and 2). Networks are trained on noised context, so this is for parity

    What the denoiser sees replaced is not written back: the next evaluation replaces it again, so
    that the free part, and the result, are as if it was.

    With `resamples` R > 1, every step from s to s' but the last is made R times (Lugmayr et al.
    2022, algorithm 1): noise of variance s^2 - s'^2 brings the state back to s, from where Euler's
    step is taken again, for R - 1 more evaluations a step. Solvers that keep earlier evaluations do
    not know of it; take one that does not, such as `euler` or `heun`.
    """

    stage: ClassVar[Literal["mix", "project", "limit"]] = "project"

    mode: Literal["x0", "noised", "literal"] = Field(
        "x0", description="what is projected: the estimate, the noised state, the state as it is"
    )
    fresh: bool = Field(True, description="whether 'noised' draws new noise at every evaluation")
    resamples: int = Field(1, ge=1, description="how often each step is made; 1 is once")

    @property
    def needs(self) -> frozenset[str]:
        """Return that there must be something to agree with."""
        return super().needs | {"measurement"}

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return the denoiser that agrees. Raises UsageError where the task has no projection."""
        project = _project(measured(context, "projection"))
        replaced = self._replaced(project, context)

        def consistent(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            if self.mode == "x0":
                return project(denoise(x, sigma, condition))
            return denoise(replaced(x, sigma), sigma, condition)

        return consistent

    def constrain(self, x: Tensor, sigma: float, denoise: Denoise, context: Context) -> Tensor:
        """Return P(x) at sigma 0, and before it the state after the repetitions of the step."""
        if sigma == 0:
            return _project(measured(context, "projection"))(x)
        before = min(each for each in context.sigmas if each > sigma * (1 + 1e-9))
        for _ in range(self.resamples - 1):
            noise = _noise(context)(before, sigma)
            x = x.add(noise, alpha=math.sqrt(before**2 - sigma**2))
            x = denoise(x, before).lerp(x, sigma / before)
        return x

    def _replaced(
        self, project: Callable[[Tensor], Tensor], context: Context
    ) -> Callable[[Tensor, float], Tensor]:
        """Return what the denoiser is shown in place of a state."""
        if self.mode == "literal":

            def literal(x: Tensor, sigma: float) -> Tensor:
                scale = math.hypot(1.0, sigma / context.sigma_data)
                return project(x / scale) * scale

            return literal
        kept = None
        if self.mode == "noised" and not self.fresh:
            kept = _noise(context)(context.sigmas[0], 0.0)

        def noised(x: Tensor, sigma: float) -> Tensor:
            noise = sigma * (_noise(context)(sigma, sigma) if kept is None else kept)
            return project(x - noise) + noise

        return noised


def _project(known: Measurement) -> Callable[[Tensor], Tensor]:
    if known.project is None:
        raise UsageError(
            "guidance 'projection' replaces what is known, and what this task measures cannot be "
            "replaced; use guidance dps or guidance-gradient with it"
        )
    return known.project


def _noise(context: Context) -> Noise:
    if context.noise is None:
        raise UsageError("guidance 'projection' draws noise in this mode; give the run some")
    return context.noise


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `projection`."""
    return Projection

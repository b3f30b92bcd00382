"""`projection`: data consistency, by replacing the known part."""

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
    """Project the estimate, or the state before it, on the latents that agree with the target.

    P is the task's projection on A x = y. In every mode the result is P(x) of the last state, so it
    agrees exactly.

        x0       D' = P(D): the estimate agrees at every sigma (Moliner et al. 2023, CQTdiff)
        noised   the denoiser sees P(x - sigma n) + sigma n: the target, noised like x (Song et al.
                 2021 (score SDE), section I.2; Lugmayr et al. 2022, eq. 8), with one n for the run,
                 or a `fresh` one each time
        literal  it sees k P(x / k), k = sqrt(1 + sigma^2 / sigma_data^2): the target without noise
                 in the variance-preserving state x / k, from the start on (Levy et al. 2023,
                 algorithms 1 and 2). For parity only: networks are trained on noised context

    The replaced part is not written back to the state. Every evaluation replaces it anew, so the
    free part and the result are the same.

    With `resamples` R > 1, every step from s to s' except the last is made R times (Lugmayr et al.
    2022, algorithm 1): noise of variance s^2 - s'^2 brings the state back to s, and an Euler step
    goes to s' again, for R - 1 more evaluations a step. Use a solver that keeps no earlier
    evaluations, such as `euler` or `heun`: the others do not see the repetitions.
    """

    stage: ClassVar[Literal["mix", "project", "limit"]] = "project"

    mode: Literal["x0", "noised", "literal"] = Field(
        "x0", description="project the estimate, the noised state, or the state as it is"
    )
    fresh: bool = Field(True, description="whether 'noised' draws new noise at every evaluation")
    resamples: int = Field(1, ge=1, description="number of times that each step is made")

    @property
    def needs(self) -> frozenset[str]:
        """Return `measurement`."""
        return super().needs | {"measurement"}

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return the projected denoiser. Raises UsageError if the task has no projection."""
        project = _project(measured(context, "projection"))
        replaced = self._replaced(project, context)

        def consistent(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            if self.mode == "x0":
                return project(denoise(x, sigma, condition))
            return denoise(replaced(x, sigma), sigma, condition)

        return consistent

    def constrain(self, x: Tensor, sigma: float, denoise: Denoise, context: Context) -> Tensor:
        """Return P(x) at sigma 0, else the state after the repetitions of the step."""
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
        """Return the map from a state to the projected state that the denoiser sees."""
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
            "guidance 'projection' needs a task with a projection and this task has none; use "
            "guidance dps or guidance-gradient with it"
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

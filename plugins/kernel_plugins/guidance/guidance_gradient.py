"""`guidance-gradient`: descend a distance to what is known, by a constant step size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kernel import Context, Guidance, GuidedDenoise, Measurement, Pull, hookimpl
from kernel_plugins.guidance._likelihood import after_ancestral_step, measured, ratio

if TYPE_CHECKING:
    from torch import Tensor

Loss = Literal["task", "l1", "l2", "mse", "stft", "bce"]


class GuidanceGradient(Guidance):
    """Change D so that a step of the solver is one of Levy et al. 2023, algorithm 1 or 2.

    With g the gradient by x of the distance d between operator(D) and the target, and s' the next
    sigma after s,

        ddim   D' = D - xi s^2 s' / (s - s') g. `euler` then makes the step of algorithm 2,
               x' = D + (s'/s) (x - D) - xi s s' g; the last step, to 0, is not guided
        ddpm   D' = D - xi sqrt((v + s^2) (v + s'^2)) / (1 - (s'/s)^2) g, v = sigma_data^2. `ddpm`
               then makes the step of algorithm 1, followed by -xi g in that paper's coordinates

    With `on` x the noisy state of those algorithms, x / sqrt(1 + sigma^2 / sigma_data^2), replaces
    D, and no gradient goes through the network. Other solvers follow the same field. All steps push
    equally, so more steps push more: choose `xi` for a number of steps. The published values have
    little effect without the guidance `projection`.

    d is the sum over `losses` of weight times loss: "task" is the task's own distance, "l1" a sum,
    "l2" a norm, "mse" and "bce" (of probabilities) are means, "stft" is the mean difference of
    log-magnitudes at several resolutions, for targets in time.
    """

    shortfalls: ClassVar[Mapping[str, str]] = {
        "units": "the published step size is a constant, in units of the data and of the distance"
    }

    strength: ClassVar[str | None] = "xi"
    neutral: ClassVar[Mapping[str, Any] | None] = {"xi": 0.0}

    algorithm: Literal["ddim", "ddpm"] = Field(
        "ddim", description="published step: ddim is algorithm 2, for euler; ddpm is 1, for ddpm"
    )
    xi: float = Field(
        3e-2, ge=0, description="step size; published: 3e-2 for latents, 3e-3 for waveforms"
    )
    on: Literal["x0", "x"] = Field(
        "x0", description="measure the estimate x0, through the network, or the noisy state x"
    )
    losses: dict[Loss, float] = Field(
        {"task": 1.0},
        min_length=1,
        description="weight of each loss: task, l1, l2, mse, stft, bce",
    )

    @property
    def needs(self) -> frozenset[str]:
        """Return `measurement` and `gradient`."""
        return super().needs | {"measurement"}

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return `denoise`. Raises UsageError for a run without a target that suits the losses."""
        from kernel_plugins.guidance._losses import check

        check(self.losses, measured(context, "guidance-gradient"))
        return denoise

    def steer(self, x: Tensor, x0: Tensor, sigma: float, pull: Pull, context: Context) -> Tensor:
        """Return the change of D; zero where its weight is 0."""
        factor = self.xi * self._factor(context, sigma)
        if factor == 0:
            return x0.new_zeros(x0.shape)
        known = measured(context, "guidance-gradient")
        state = x0 if self.on == "x0" else x / math.hypot(1.0, sigma / context.sigma_data)
        return pull(self._distance(known, state)).mul(-factor)

    def _factor(self, context: Context, sigma: float) -> float:
        if self.algorithm == "ddpm":
            return after_ancestral_step(context, sigma)
        kept = ratio(context, sigma)
        return sigma**2 * kept / (1 - kept)

    def _distance(self, known: Measurement, state: Tensor) -> Tensor:
        from kernel_plugins.guidance._losses import LOSSES

        predicted = known.operator(state)
        total = predicted.new_zeros(len(state))
        for name, weight in self.losses.items():
            loss = known.distance if name == "task" else LOSSES[name]
            total = total + weight * loss(predicted, known.target)
        return total


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `guidance-gradient`."""
    return GuidanceGradient

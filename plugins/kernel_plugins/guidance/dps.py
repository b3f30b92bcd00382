"""`dps`: diffusion posterior sampling, with three ways to choose the size of its step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from kernel import Context, Guidance, GuidedDenoise, Pull, hookimpl
from kernel_plugins.guidance._likelihood import (
    after_ancestral_step,
    likelihood,
    measured,
    nonzero,
    norm,
    squared_error,
)

if TYPE_CHECKING:
    from torch import Tensor

SCALES = {"gradient": 0.25, "residual": 1.0, "gaussian": 1.0}


class Dps(Guidance):
    """Add to D a gradient of the distance of operator(D) from the target (Chung et al. 2023).

    With g the gradient by x of each item's distance, and e = |target - operator(D)|^2,

        gradient  D' = D - scale sigma sqrt(N) g / |g|, for N values an item: `scale` is the root
                  mean square of the change of the ODE's slope (Moliner et al. 2023 (CQTdiff)).
                  Works with any distance; the push stays as large near the target
        residual  the published step size, scale / sqrt(e) for the gradient of e, after a step of
                  `ddpm` in variance-preserving form (algorithm 1). Other solvers follow the same
                  field; more steps push more
        gaussian  D' = D + scale sigma^2 grad ln N(target; operator(D), noise^2 + c^2 r^2),
                  r^2 = sigma^2 sigma_data^2 / (sigma^2 + sigma_data^2), the variance of x0 given x
                  for white data: no step size to find. For linear, well-scaled operators

    With `on` x, operator(x) replaces operator(D), sigma replaces r, and no gradient goes through
    the network: `gaussian` is then the likelihood of Mariani et al. 2024 (MSDM, separation of
    sources), with gamma = c sigma.
    """

    strength: ClassVar[str | None] = "scale"
    neutral: ClassVar[Mapping[str, Any] | None] = {"scale": 0.0}

    normalization: Literal["gradient", "residual", "gaussian"] = Field(
        "gradient", description="rule for the size of the step"
    )
    scale: float = Field(
        SCALES["gradient"], ge=0, description="strength; if not set, 1 for residual and gaussian"
    )
    c: float = Field(
        1.0, gt=0, description="factor c on the standard deviation r in 'gaussian'; larger is safer"
    )
    on: Literal["x0", "x"] = Field(
        "x0", description="measure the estimate x0, through the network, or the noisy state"
    )

    @model_validator(mode="before")
    @classmethod
    def _usual_scale(cls, options: Any) -> Any:
        if isinstance(options, dict) and "scale" not in options:
            usual = SCALES.get(options.get("normalization", "gradient"))
            return options if usual is None else {**options, "scale": usual}
        return options

    @property
    def needs(self) -> frozenset[str]:
        """Return `measurement` and `gradient`."""
        return super().needs | {"measurement"}

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return `denoise`. Raises UsageError for a run without a measurement."""
        measured(context, "dps")
        return denoise

    def steer(self, x: Tensor, x0: Tensor, sigma: float, pull: Pull, context: Context) -> Tensor:
        """Return the change of D."""
        known, state = measured(context, "dps"), x0 if self.on == "x0" else x
        if self.normalization == "gradient":
            gradient = pull(known.distance(known.operator(state), known.target))
            length = self.scale * sigma * math.sqrt(gradient[0].numel())
            return gradient / norm(gradient) * -length
        if self.normalization == "residual":
            error = squared_error(known, state)
            gradient = pull(error / nonzero(error.detach().sqrt()))
            return gradient.mul(-self.scale * after_ancestral_step(context, sigma))
        variance = sigma**2
        if self.on == "x0":
            variance /= 1 + (sigma / context.sigma_data) ** 2
        return likelihood(known, state, self.c**2 * variance, pull).mul(self.scale * sigma**2)


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `dps`."""
    return Dps

"""`autoguidance`: away from the estimate of a weaker model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from kernel import Condition, Context, Guidance, GuidedDenoise, UsageError, hookimpl
from kernel_plugins.guidance._mix import Mixing

if TYPE_CHECKING:
    from torch import Tensor


class Autoguidance(Mixing):
    """Return D_w + guidance_scale (D - D_w), where D_w is the denoiser of a weaker model.

    Karras et al. 2024, "Guiding a diffusion model with a bad version of itself", eq. 3. The weaker
    model is smaller or trained less. It gets the same condition, so the samples keep their variety.
    Its codec, sigma_data and condition must be those of the run. Outside (sigma_low, sigma_high]
    the result is D.
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"guidance_scale": 1.0}
    strength: ClassVar[str | None] = "guidance_scale"

    guidance_scale: float = Field(2.0, ge=0, description="1 is no guidance, 0 the weaker model")
    model: str | None = Field(
        None, description="the weaker model: a model pack's name, or a folder with model.toml"
    )

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return the guided denoiser. Raises UsageError when no weaker model is named."""
        if self.model is None or context.model is None:
            raise UsageError(
                "guidance 'autoguidance' needs a weaker model and none is named; set "
                "-o guidance.autoguidance.model to a model's name or folder, such as an early "
                "checkpoint of the same training"
            )
        if self.guidance_scale == 1:
            return denoise
        weaker = context.model(self.model)

        def guided(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            estimate = denoise(x, sigma, condition)
            if not self.guides(sigma):
                return estimate
            return weaker(x, sigma, condition).lerp(estimate, self.guidance_scale)

        return guided


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `autoguidance`."""
    return Autoguidance

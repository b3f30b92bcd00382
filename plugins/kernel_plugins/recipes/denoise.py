"""`denoise`: the weighted error of the estimate of x0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from pydantic import Field, model_validator

from kernel import Batch, Objective, Parts, Recipe, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kernel_plugins.recipes._denoise import Denoising


class Denoise(Recipe):
    """Train D(x0 + sigma n, sigma) to be x0: denoising score matching, flow matching, bridges.

    loss = weight(sigma) |D - x0|^2, the mean without padding; the schedule draws sigma. With the
    signal-to-noise ratio snr = (sigma_data / sigma)^2 the weight is

        unit      that of the objective, 1 / c_out^2 for most: the network's target has the
                  weight 1 at every sigma                          (Karras et al. 2022, eq. 8)
        none      1
        min-snr   min(snr, gamma) / sigma_data^2                   (Hang et al. 2023, eq. 3)
        p2        1 / (sigma^2 (1 + snr)^gamma)                    (Choi et al. 2022, eq. 8)
        learned   that of unit, divided by exp(u(sigma)); u(sigma) is added to the loss and
                  trained with the network                         (Karras et al. 2024, eq. 21)
    """

    weighting: Literal["unit", "none", "min-snr", "p2", "learned"] = Field(
        "unit", description="weight of the error at each sigma in the loss"
    )
    gamma: float | None = Field(
        None, gt=0, description="largest ratio of min-snr (default 5), exponent of p2 (default 1)"
    )

    @model_validator(mode="after")
    def _gamma_is_used(self) -> Self:
        if self.gamma is not None and self.weighting not in ("min-snr", "p2"):
            raise ValueError(
                f"weighting {self.weighting!r} has no gamma; leave gamma out, or choose min-snr or "
                f"p2"
            )
        return self

    def weight(self, objective: Objective, sigma: Any) -> Any:
        """Return the weight of |D - x0|^2. sigma, result: [B]."""
        snr = (objective.sigma_data / sigma) ** 2
        match self.weighting:
            case "none":
                return 0 * sigma + 1
            case "min-snr":
                return snr.clamp(max=self.gamma or 5.0) / objective.sigma_data**2
            case "p2":
                return (1 + snr) ** -(self.gamma or 1.0) / sigma**2
            case _:
                return objective.weight(sigma)

    def build(self, parts: Parts) -> nn.Module:
        """Return the network in one group, with the parameters of the learned weighting if any."""
        from kernel_plugins.recipes._denoise import Denoising

        return Denoising(self, parts)

    def watch(self, module: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
        """Return the loss at the middle of each of `BANDS` equally likely bands of sigma."""
        return cast("Denoising", module).watch(batch)


@hookimpl
def recipe() -> type[Recipe]:
    """Offer `denoise`."""
    return Denoise

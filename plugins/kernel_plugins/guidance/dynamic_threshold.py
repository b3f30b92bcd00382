"""`dynamic-threshold`: keep the estimate within the range of the data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kernel import Condition, Context, Guidance, GuidedDenoise, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class DynamicThreshold(Guidance):
    """Clamp every estimate of x0 to [-s, s] and scale it by r / s, with r = limit sigma_data.

    Saharia et al. 2022 (Imagen), section 2.3, where r = 1. s is r, or the quantile of the item's
    |x0| if it is larger. An item within r stays as it is, an item with few larger values is
    clamped, and an item that saturates is scaled down as a whole.

    Latents of audio have no largest value: peaks of recordings reach 5 to 15 standard deviations in
    codecs of waveforms and about 3 in log-mel latents.
    """

    stage: ClassVar[Literal["mix", "project", "limit"]] = "limit"

    quantile: float = Field(
        0.995, gt=0, le=1, description="share of an item's values that stay unclamped"
    )
    limit: float = Field(8.0, gt=0, description="largest |x0|, in standard deviations of the data")

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return the denoiser with its estimates kept within the range."""
        limit = self.limit * context.sigma_data

        def limited(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            x0 = denoise(x, sigma, condition)
            sizes = x0.abs().flatten(1)
            place = max(1, math.ceil(self.quantile * sizes.shape[1]))
            largest = sizes.kthvalue(place, 1).values.clamp(min=limit)
            largest = largest.view(-1, *[1] * (x0.ndim - 1))
            return x0.clamp(-largest, largest) * (limit / largest)

        return limited


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `dynamic-threshold`."""
    return DynamicThreshold

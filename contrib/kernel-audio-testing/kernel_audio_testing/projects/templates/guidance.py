"""`mine`: how the denoiser's estimate is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from kernel import Condition, Context, Guidance, GuidedDenoise, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Mine(Guidance):
    """Bend the estimate of x0 so that none of its values exceeds `limit` sigma_data.

    A smooth kin of static thresholding (Saharia et al. 2022, section 2.3). To make it your own,
    replace the inside of `guided`; override `steer` in its place to follow the gradient of a loss,
    or `constrain` to change the state after a step. Pass on the condition that you are called with:
    it may be batched, and null for some items.
    """

    stage: ClassVar[Literal["mix", "project", "limit"]] = "limit"
    neutral: ClassVar[Mapping[str, Any]] = {"limit": 0}

    limit: float = Field(20.0, ge=0, description="largest |x0|, in sigma_data; 0: none")

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return the denoiser with its estimates bent."""
        if not self.limit:
            return denoise

        limit = self.limit * context.sigma_data

        def guided(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            x0 = denoise(x, sigma, condition)
            return (x0 / limit).tanh() * limit

        return guided


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `mine`."""
    return Mine

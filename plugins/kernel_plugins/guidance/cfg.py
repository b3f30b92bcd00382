"""`cfg`: classifier-free guidance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from kernel import Condition, Context, Guidance, GuidedDenoise, UsageError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Cfg(Guidance):
    """Return D_u + guidance_scale (D_c - D_u), both from one evaluation of twice the batch.

    Ho and Salimans 2022, eq. 6 with w = guidance_scale - 1. D_u is the denoiser under the null
    condition. Where sigma is outside (sigma_low, sigma_high], D_c is returned (Kynkaanniemi et al.
    2024, section 3) at the price of one evaluation of the batch, as when guidance_scale is 1.
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"guidance_scale": 1.0}

    guidance_scale: float = Field(2.0, ge=0, description="1 is no guidance, 0 no condition")
    sigma_low: float = Field(0.0, ge=0, description="guide only where sigma is above this")
    sigma_high: float | None = Field(
        None, gt=0, description="guide only where sigma is at most this; None for no limit"
    )
    rescale: float = Field(
        0.0, ge=0, le=1, description="how far to restore the standard deviation of D_c"
    )

    @model_validator(mode="after")
    def _interval(self) -> Self:
        if self.sigma_high is not None and self.sigma_low >= self.sigma_high:
            raise ValueError(
                f"sigma_low {self.sigma_low} is not below sigma_high {self.sigma_high}"
            )
        return self

    @property
    def needs(self) -> frozenset[str]:
        """Return that the network must know the null condition."""
        return frozenset({"null-condition"})

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return the guided denoiser. Raises UsageError when there is no condition to drop."""
        if context.condition.empty:
            raise UsageError(
                "guidance 'cfg' compares a condition with its absence and this run has no "
                "condition; choose a task that gives one (a label, say) or leave 'cfg' out"
            )
        if self.guidance_scale == 1:
            return denoise
        # The condition is kept beside its pair: an id is only unique while its object lives.
        pairs: dict[int, tuple[Condition, Condition]] = {}

        def guided(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            if not self._guides(sigma):
                return denoise(x, sigma, condition)
            key = id(condition)
            if key not in pairs:
                pairs[key] = (condition, Condition.cat([condition, condition.dropped()]))
            both = denoise(x.repeat(2, *[1] * (x.ndim - 1)), sigma, pairs[key][1])
            conditional, unconditional = both.chunk(2)
            return self._combine(conditional, unconditional)

        return guided

    def _guides(self, sigma: float) -> bool:
        return self.sigma_low < sigma and (self.sigma_high is None or sigma <= self.sigma_high)

    def _combine(self, conditional: Tensor, unconditional: Tensor) -> Tensor:
        """Return the guided estimate, rescaled per item by Lin et al. 2024, eq. 14 to 16."""
        guided = unconditional.lerp(conditional, self.guidance_scale)
        if self.rescale == 0:
            return guided
        axes = tuple(range(1, guided.ndim))
        wanted = conditional.std(axes, correction=0, keepdim=True)
        found = guided.std(axes, correction=0, keepdim=True)
        # A constant item has nothing to rescale.
        ratio = (wanted / found).masked_fill(found == 0, 1.0)
        return guided * (1 - self.rescale + self.rescale * ratio)


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `cfg`."""
    return Cfg

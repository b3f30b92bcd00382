"""What guidances share that mix evaluations: the sigmas at which they do."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from kernel import Guidance


class Mixing(Guidance):
    """A guidance of the sigmas in (sigma_low, sigma_high] (Kynkaanniemi et al. 2024, section 3)."""

    sigma_low: float = Field(0.0, ge=0, description="guide only where sigma is above this")
    sigma_high: float | None = Field(
        None, gt=0, description="guide only where sigma is at most this; None for no limit"
    )

    @model_validator(mode="after")
    def _interval(self) -> Self:
        if self.sigma_high is not None and self.sigma_low >= self.sigma_high:
            raise ValueError(
                f"sigma_low {self.sigma_low} is not below sigma_high {self.sigma_high}"
            )
        return self

    def guides(self, sigma: float) -> bool:
        """Return whether this sigma is guided."""
        return self.sigma_low < sigma and (self.sigma_high is None or sigma <= self.sigma_high)

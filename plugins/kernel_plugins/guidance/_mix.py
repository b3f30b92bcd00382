"""The base of the guidances that mix evaluations: the sigmas that they guide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from kernel import Guidance


class Mixing(Guidance):
    """Guide only sigmas in (sigma_low, sigma_high] (Kynkaanniemi et al. 2024, section 3)."""

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


def following(sigmas: Sequence[float], sigma: float) -> float:
    """Return the grid's next sigma after `sigma`, 0 after the last.

    `sigma` may lie between two sigmas of the grid (a solver's stage).
    """
    return max((each for each in sigmas if each < sigma * (1 - 1e-9)), default=0.0)


def progress(sigmas: Sequence[float], sigma: float) -> float:
    """Return the progress of `sigma` through a grid, 0 at its start and 1 at sigma 0."""
    if sigma <= 0:
        return 1.0
    after = sum(each >= sigma * (1 - 1e-9) for each in sigmas[:-1])
    return max(0, after - 1) / max(1, len(sigmas) - 1)

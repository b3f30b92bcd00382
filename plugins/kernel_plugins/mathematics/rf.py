"""The straight path of rectified flow.

Liu et al. 2022, eq. 1: x_t = (1 - t) x0 / sigma_data + t n and sigma = sigma_data t / (1 - t).
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from kernel_plugins.mathematics._process import Process

__all__ = ["STANDARD", "RectifiedFlow"]


@attrs.frozen
class RectifiedFlow(Process):
    """The process of the head of this module, t < 1. Its methods take floats or tensors."""

    name: ClassVar[str] = "rf"

    sigma_data: float

    def time(self, sigma: Any) -> Any:
        """Return the t at which the process has this sigma."""
        return sigma / (sigma + self.sigma_data)

    def sigma(self, time: Any) -> Any:
        """Return sigma at t."""
        return self.sigma_data * time / (1 - time)

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at t; b is 0."""
        return (1 - time) / self.sigma_data, 0.0

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        """Return the derivatives of a, of b and of sigma^2 at t."""
        return -1 / self.sigma_data, 0.0, 2 * self.sigma_data**2 * time / (1 - time) ** 3


STANDARD = RectifiedFlow(sigma_data=1.0)
"""Rectified flow as published."""

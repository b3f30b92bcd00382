"""The circle of signal and noise, in its angle.

Salimans and Ho 2022, section 4: x_t = cos(t) x0 / sigma_data + sin(t) n and
sigma = sigma_data tan(t). With the time t / (pi / 2) it is the cosine schedule of Nichol and
Dhariwal 2021, eq. 17, in continuous time.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs

from kernel_plugins.mathematics._process import Process
from kernel_plugins.mathematics.scalars import atan, tan

__all__ = ["STANDARD", "Circle"]


@attrs.frozen
class Circle(Process):
    """The process of the head of this module, t < pi / 2. Its methods take floats or tensors."""

    name: ClassVar[str] = "cosine"

    sigma_data: float

    def time(self, sigma: Any) -> Any:
        """Return the angle at which the process has this sigma."""
        return atan(sigma / self.sigma_data)

    def sigma(self, time: Any) -> Any:
        """Return sigma at an angle."""
        return self.sigma_data * tan(time)

    def coefficients(self, time: Any) -> tuple[Any, Any]:
        """Return (a, b) at an angle; b is 0."""
        return (1 + tan(time) ** 2) ** -0.5 / self.sigma_data, 0.0

    def rates(self, time: Any) -> tuple[Any, Any, Any]:
        """Return the derivatives of a, of b and of sigma^2 by the angle."""
        slope = tan(time)
        secant = 1 + slope**2
        a_rate = -slope * secant**-0.5 / self.sigma_data
        return a_rate, 0.0, 2 * self.sigma_data**2 * slope * secant


STANDARD = Circle(sigma_data=1.0)
"""The circle as published."""

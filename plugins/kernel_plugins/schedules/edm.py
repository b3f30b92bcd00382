"""`edm`: log-normal training draws and the polynomial sampling grid of Karras et al. 2022."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Schedule, hookimpl
from kernel_plugins.schedules._curve import checked, normal, rising

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class EdmSchedule(Schedule):
    """Sample on a grid that is linear in sigma^(1/rho); train where ln sigma is normal.

    Karras et al. 2022, eq. 5 (grid) and Table 1 (draws). Draws are clamped to
    [sigma_min, sigma_max].
    """

    sigma_min: float = Field(0.002, gt=0, description="smallest nonzero sigma")
    sigma_max: float = Field(80.0, gt=0, description="largest sigma")
    rho: float = Field(7.0, gt=0, description="exponent of the grid; larger means denser near 0")
    mean: float = Field(-1.2, description="mean of ln sigma in training (P_mean)")
    std: float = Field(1.2, gt=0, description="standard deviation of ln sigma in training (P_std)")
    stratified: bool = Field(False, description="spread the draws of a batch evenly")

    _rising = rising("sigma_min", "sigma_max")

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 descending sigmas, the last 0. Raises UsageError when steps < 1."""
        checked(steps)
        high, low = self.sigma_max ** (1 / self.rho), self.sigma_min ** (1 / self.rho)
        ramp = (index / max(steps - 1, 1) for index in range(1, steps))
        return [self.sigma_max, *((high + part * (low - high)) ** self.rho for part in ramp), 0.0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` training sigmas [count]."""
        log_sigma = normal(count, generator, self.stratified) * self.std + self.mean
        return log_sigma.exp().clamp(self.sigma_min, self.sigma_max).float()


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `edm`."""
    return EdmSchedule

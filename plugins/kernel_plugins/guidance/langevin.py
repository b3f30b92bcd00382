"""`langevin`: annealed Langevin steps towards the posterior, after each step of the solver."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from kernel import Context, Denoise, Guidance, Pull, UsageError, hookimpl
from kernel_plugins.guidance._likelihood import likelihood

if TYPE_CHECKING:
    from torch import Tensor


class Langevin(Guidance):
    """Correct the state at every sigma by Langevin steps of the posterior (BASIS).

    Jayaram and Thickstun 2020, algorithm 1: with the guided denoiser D', whose score at sigma is
    (D' - x) / sigma^2, and z ~ N(0, I), each of the `steps` is

        x <- x + eta (D' - x) / sigma^2 + sqrt(2 eta) z,    eta = (snr sigma)^2.

    If the task has a measurement, D' contains the likelihood of the target given the noisy state,

        D' = D + sigma^2 grad ln N(target; operator(x), noise^2 + (gamma sigma)^2).

    The likelihood narrows with sigma, so the levels anneal to the posterior. With gamma none the
    likelihood comes from another guidance (such as dps); without one the steps correct samples of
    the prior. Each Langevin step costs one evaluation: steps x (n - 1) more for a grid of n steps,
    none after the last, where sigma is 0. Stable if snr^2 (1 + |operator|^2 / gamma^2) < 2.
    """

    strength: ClassVar[str | None] = "snr"
    neutral: ClassVar[Mapping[str, Any] | None] = {"steps": 0, "gamma": None}

    steps: int = Field(2, ge=0, description="Langevin steps after each step, one evaluation each")
    snr: float = Field(0.3, gt=0, description="square root of the step size, in units of sigma")
    gamma: float | None = Field(
        1.0, gt=0, description="error of the target in units of sigma; none: no likelihood"
    )

    @property
    def steers(self) -> bool:
        """Return whether the guidance adds its own likelihood."""
        return self.gamma is not None

    def steer(self, x: Tensor, x0: Tensor, sigma: float, pull: Pull, context: Context) -> Tensor:
        """Return the change of D by the likelihood; zero without a measurement."""
        if context.measurement is None or self.gamma is None:
            return x0.new_zeros(x0.shape)
        variance = (self.gamma * sigma) ** 2
        return likelihood(context.measurement, x, variance, pull).mul(sigma**2)

    def constrain(self, x: Tensor, sigma: float, denoise: Denoise, context: Context) -> Tensor:
        """Return the state after the Langevin steps; `x` itself at sigma 0."""
        if sigma == 0 or self.steps == 0:
            return x
        if context.noise is None:
            raise UsageError("guidance 'langevin' draws noise; give the run some")
        for _ in range(self.steps):
            x = x.lerp(denoise(x, sigma), self.snr**2)
            x = x.add(context.noise(sigma, sigma), alpha=math.sqrt(2) * self.snr * sigma)
        return x


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `langevin`."""
    return Langevin

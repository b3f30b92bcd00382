"""`bbed`: the Brownian bridge with exponential diffusion, from noisy to clean speech."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.bbed import STANDARD, BrownianBridge


class Bbed(Objective):
    """Predict the noise of a process that moves to the origin y at a steady pace.

    Lay et al. 2023 (BBED): x_t = (1 - t) x0 + t y + s n with the diffusion sqrt(theta) k^t.
    sigma = s / (1 - t) grows without bound as t goes to 1. The network is given x_t and t.
    The paper's noise is complex with variance 1, so 1/2 in each real channel: halve its theta.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    k: float = Field(STANDARD.k, gt=1, le=20, description="base of the growth of the noise")
    theta: float = Field(STANDARD.theta, gt=0, description="scale of the variance")

    @property
    def needs(self) -> frozenset[str]:
        """Return `origin`, which the task must give."""
        return frozenset({"origin"})

    @property
    def path(self) -> BrownianBridge:
        """Return the process."""
        return BrownianBridge(self.k, self.theta)

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the scalar functions at `sigma`, a float > 0 or a tensor [B]."""
        w = self.path.odds(sigma)
        time = w / (1 + w)
        return Preconditioning(
            c_skip=1.0, c_out=-sigma, c_in=1 / (1 + w), c_noise=time, c_origin=time
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `bbed`."""
    return Bbed

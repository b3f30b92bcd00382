"""`sb-ve`: the Schroedinger bridge from noisy to clean speech, with variance exploding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from kernel import Objective, Preconditioning, hookimpl
from kernel_plugins.mathematics.sb_ve import STANDARD, SchroedingerBridge


class SbVe(Objective):
    """Predict the data on a bridge that ends in the origin y without noise.

    Jukic et al. 2024, Table 1, column VE: sigma_t^2 = c (k^(2t) - 1) / (2 ln k), sigma_T^2 is its
    value at t = 1, and

        x_t = (1 - q) x0 + q y + sigma_T sqrt(q (1 - q)) n,    q = sigma_t^2 / sigma_T^2.

    In x = x0 + sigma n this is sigma^2 = sigma_T^2 q / (1 - q): x_t reaches y as sigma goes to
    infinity. The network is given x_t and t.
    """

    recommends: ClassVar[Mapping[str, tuple[str, ...]]] = {"recipe": ("denoise",)}

    k: float = Field(STANDARD.k, gt=1, description="base of the growth of the noise")
    c: float = Field(STANDARD.c, gt=0, description="scale of the variance")

    @property
    def needs(self) -> frozenset[str]:
        """Return `origin`, which the task must give."""
        return frozenset({"origin"})

    @property
    def path(self) -> SchroedingerBridge:
        """Return the process."""
        return SchroedingerBridge(self.k, self.c)

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the scalar functions at `sigma`, a float > 0 or a tensor [B]."""
        path = self.path
        total = sigma**2 + path.end_variance
        return Preconditioning(
            c_skip=0.0,
            c_out=self.sigma_data,
            c_in=path.end_variance / total,
            c_noise=path.time(sigma),
            c_origin=sigma**2 / total,
        )


@hookimpl
def objective() -> type[Objective]:
    """Offer `sb-ve`."""
    return SbVe

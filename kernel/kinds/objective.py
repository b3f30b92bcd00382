"""Objectives: the target that a network is trained to predict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from kernel.kinds._component import Component
from kernel.values import NativePath, Network, Preconditioning

if TYPE_CHECKING:
    from torch import Tensor


class Objective(Component):
    """The target that a network is trained to predict, and the denoiser that follows from it.

    D(x, sigma) = c_skip x + c_out F(c_in x + c_origin y, c_noise) (Karras et al. 2022, eq. 7)
    loss        = weight(sigma) |D - x0|^2                         (eq. 2)

    A process x_t = a x0 + b y + s n that drifts towards an origin y is x = (x_t - b y) / a with
    sigma = s / a, so that `c_in = a` and `c_origin = b` give the network x_t itself.

    `sigma_data` is the standard deviation of x0 that the four functions assume. A codec's latents
    have unit variance; the kernel multiplies them by `sigma_data`.
    """

    kind: ClassVar[str] = "objective"
    fixed: ClassVar[bool] = True

    preserves_variance: ClassVar[bool] = False
    """Whether the process shrinks the data while it adds noise, so that x_t ends as N(0, I)."""

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")

    @property
    def path(self) -> NativePath | None:
        """Return the native time of the process, for solvers that step in it; None without one."""
        return None

    @property
    def offers(self) -> frozenset[str]:
        """Return that there is a `path`, where there is one."""
        return frozenset() if self.path is None else frozenset({"path"})

    def start(self, sigma: float) -> float:
        """Return the standard deviation of x with which a run without an origin starts at `sigma`.

        x = sigma n where the variance explodes (Karras et al. 2022, algorithm 1). A process that
        preserves it starts from x_t = n (Ho et al. 2020, algorithm 2), which is x divided by
        sqrt(sigma^2 + sigma_data^2).
        """
        return math.hypot(sigma, self.sigma_data) if self.preserves_variance else sigma

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the scalar functions at `sigma`, a float > 0 or a tensor [B]."""
        raise NotImplementedError

    def weight(self, sigma: Any) -> Any:
        """Return the weight of |D - x0|^2 that is recommended, for a float > 0 or a tensor [B].

        With 1 / c_out^2 the network's target has the weight 1 at every sigma.
        """
        return 1 / self.precondition(sigma).c_out ** 2

    def denoise(
        self,
        network: Network,
        x: Tensor,
        sigma: Any,
        condition: Any,
        origin: Tensor | None = None,
    ) -> Tensor:
        """Return D(x, sigma). x, origin, result: [B, C, *S]; sigma > 0: a float, or a tensor [B].

        `condition` is what the backbone's `prepare` made of a Condition, `origin` that of the
        Condition itself.
        """
        scale = self.precondition(sigma)
        if isinstance(sigma, int | float):
            given = x * scale.c_in
            if origin is not None and scale.c_origin != 0:
                given.add_(origin, alpha=scale.c_origin)
            prediction = network(given, x.new_full((x.shape[0],), scale.c_noise), condition)
            estimate: Tensor = prediction * scale.c_out
            return estimate.add_(x, alpha=scale.c_skip)

        def each(scalar: Any) -> Tensor:
            values: Tensor = sigma.new_zeros(sigma.shape) + scalar
            return values.to(x.dtype).view(-1, *[1] * (x.ndim - 1))

        # Nothing is changed in place, which jvp could not follow.
        given = each(scale.c_in) * x
        if origin is not None:
            given = given + each(scale.c_origin) * origin
        prediction = network(given, each(scale.c_noise).flatten(), condition)
        return each(scale.c_skip) * x + each(scale.c_out) * prediction

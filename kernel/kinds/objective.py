"""What a network is trained to predict."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from kernel.hooks import hookspec
from kernel.kinds._component import Component
from kernel.scalars import minimum
from kernel.values import NativePath, Network, Preconditioning

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Objective"]


@hookspec
def objective(name: str) -> type[Objective] | None:
    """Return the objective called `name`, or None when the plugin has no such objective."""


class Objective(Component):
    """What a network is trained to predict, and how a denoiser is read off it.

    D(x, sigma) = c_skip x + c_out F(c_in x + c_origin y, c_noise) (Karras et al. 2022, eq. 7)
    loss        = weight(sigma) |D - x0|^2                         (eq. 2)

    A process x_t = a x0 + b y + s n that drifts towards an origin y is x = (x_t - b y) / a with
    sigma = s / a, so that `c_in = a` and `c_origin = b` give the network x_t itself.

    `weighting` chooses the weight, with the signal-to-noise ratio snr = (sigma_data / sigma)^2:

        unit      1 / c_out^2, so that the network's target has the weight 1 at every sigma
        none      1
        min-snr   min(snr, gamma) / sigma_data^2                   (Hang et al. 2023, eq. 3)
        p2        1 / (sigma^2 (1 + snr)^gamma)                    (Choi et al. 2022, eq. 8)
        learned   that of unit, divided by exp(u(sigma)) with u(sigma) added to the loss, u being
                  trained beside the network                       (Karras et al. 2024, eq. 21)

    `sigma_data` is the standard deviation of x0 that the four functions assume. A codec's latents
    have unit variance; the kernel multiplies them by `sigma_data`.
    """

    kind: ClassVar[str] = "objective"
    fixed: ClassVar[bool] = True

    preserves_variance: ClassVar[bool] = False
    """Whether the process shrinks the data while it adds noise, so that x_t ends as N(0, I)."""

    sigma_data: float = Field(1.0, gt=0, description="standard deviation of the data in x")
    weighting: Literal["unit", "none", "min-snr", "p2", "learned"] = Field(
        "unit", description="how much the error at each sigma counts in the loss"
    )
    weighting_gamma: float | None = Field(
        None, gt=0, description="largest ratio of min-snr (5 if not given), exponent of p2 (1)"
    )

    @property
    def path(self) -> NativePath | None:
        """Return the native time of the process, for solvers that step in it; None without one."""
        return None

    @property
    def offers(self) -> frozenset[str]:
        """Return that there is a `path`, where there is one."""
        return frozenset() if self.path is None else frozenset({"path"})

    @model_validator(mode="after")
    def _gamma_is_used(self) -> Self:
        if self.weighting_gamma is not None and self.weighting not in ("min-snr", "p2"):
            raise ValueError(
                f"weighting {self.weighting!r} has no gamma; leave weighting_gamma out, or choose "
                f"min-snr or p2"
            )
        return self

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
        """Return the weight of |D - x0|^2 at `sigma`, a float > 0 or a tensor [B]."""
        snr = (self.sigma_data / sigma) ** 2
        match self.weighting:
            case "none":
                return 1.0
            case "min-snr":
                return minimum(snr, self.weighting_gamma or 5.0) / self.sigma_data**2
            case "p2":
                return (1 + snr) ** -(self.weighting_gamma or 1.0) / sigma**2
            case _:
                return 1 / self.precondition(sigma).c_out ** 2

    def denoise(
        self,
        network: Network,
        x: Tensor,
        sigma: float,
        condition: Any,
        origin: Tensor | None = None,
    ) -> Tensor:
        """Return D(x, sigma). x, origin, result: [B, C, *S]; sigma > 0.

        `condition` is what the backbone's `prepare` made of a Condition, `origin` that of the
        Condition itself.
        """
        scale = self.precondition(sigma)
        c_noise = x.new_full((x.shape[0],), scale.c_noise)
        given = x * scale.c_in
        if origin is not None and scale.c_origin != 0:
            given.add_(origin, alpha=scale.c_origin)
        prediction = network(given, c_noise, condition)
        estimate: Tensor = prediction * scale.c_out
        return estimate.add_(x, alpha=scale.c_skip)

    def loss(
        self,
        network: Network,
        x0: Tensor,
        sigma: Tensor,
        noise: Tensor,
        condition: Any,
        mask: Tensor | None = None,
        origin: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted mean squared error of each item, [B].

        x0, noise, origin: [B, C, *S]; sigma: [B]. mask, broadcastable to x0, is 0 in the padding,
        which is neither counted nor divided by.
        """
        batch = (-1, *[1] * (x0.ndim - 1))
        scale = self.precondition(sigma)
        c_skip, c_out, c_in = (c.view(batch) for c in self._tensors(scale, sigma))
        x = x0 + sigma.view(batch) * noise
        c_noise = sigma.new_zeros(sigma.shape) + scale.c_noise
        given = c_in * x
        if origin is not None:
            given = given + (sigma.new_zeros(sigma.shape) + scale.c_origin).view(batch) * origin
        prediction = network(given, c_noise, condition)
        # In terms of F the error is c_out smaller, so that nothing cancels where c_out is tiny.
        error = (prediction.float() - (x0 - c_skip * x) / c_out).square()
        axes = tuple(range(1, x0.ndim))
        if mask is None:
            mean = error.mean(axes)
        else:
            mask = mask.expand_as(error)
            mean = (error * mask).sum(axes) / mask.sum(axes).clamp(min=1)
        weighted: Tensor = self.weight(sigma) * c_out.view(-1).square() * mean
        return weighted

    @staticmethod
    def _tensors(scale: Preconditioning, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        zero = sigma.new_zeros(sigma.shape)
        return zero + scale.c_skip, zero + scale.c_out, zero + scale.c_in

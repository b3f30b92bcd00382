"""`moments`: posterior sampling with the covariance that the network itself implies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from kernel import Context, Guidance, GuidedDenoise, Pull, hookimpl
from kernel_plugins.guidance._likelihood import measured

if TYPE_CHECKING:
    from torch import Tensor


class Moments(Guidance):
    """Make D the mean of x0 given x and the target, by matching two moments of x0 given x.

    Rozet et al. 2024 (moment matching posterior sampling). x0 given x is taken for N(D, V) with
    V = sigma^2 J, J the Jacobian of D by x, which is exact for Gaussian data (Tweedie). Then

        D' = D + scale V A* v,    (noise^2 + tolerance^2 sigma^2 + A V A*) v = target - A(D),

    v by `iterations` of conjugate gradients for each item, each of them one backward pass through
    the network; J is symmetric where the network is a denoiser. A is linearised at D. With one
    iteration the step is that along the gradient which fits the target best. Networks are not quite
    denoisers: `tolerance` keeps what they get wrong from being made up for, and for exact ones a
    smaller one is nearer to the posterior.
    """

    strength: ClassVar[str | None] = "scale"
    neutral: ClassVar[Mapping[str, Any] | None] = {"scale": 0.0}

    iterations: int = Field(3, ge=1, description="conjugate gradients, and backward passes more")
    tolerance: float = Field(
        0.3, ge=0, description="error that the target is given besides its noise, in units of sigma"
    )
    scale: float = Field(1.0, ge=0, description="how much of the change of D is made")

    @property
    def needs(self) -> frozenset[str]:
        """Return that there must be something to agree with, and a gradient."""
        return super().needs | {"measurement"}

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return `denoise`. Raises UsageError for a run without a measurement."""
        measured(context, "moments")
        return denoise

    def steer(self, x: Tensor, x0: Tensor, sigma: float, pull: Pull, context: Context) -> Tensor:
        """Return the change of D."""
        from kernel_plugins.mathematics.linear import conjugate_gradients

        known = measured(context, "moments")
        variance = known.noise**2 + (self.tolerance * sigma) ** 2
        predicted = known.operator(x0)
        derivative = cache(partial(_derivative, known.operator, x0.detach()))

        def spread(v: Tensor) -> Tensor:
            """Return V A* v."""
            return sigma**2 * pull((predicted * v).flatten(1).sum(1))

        def normal(v: Tensor) -> Tensor:
            change = spread(v)
            return variance * v + derivative()(change)

        missing = (known.target - predicted).detach()
        return spread(conjugate_gradients(normal, missing, self.iterations)).mul(self.scale)


def _derivative(operator: Callable[[Tensor], Tensor], at: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what a change of x0 makes of operator(x0), to first order.

    The product of the Jacobian's transpose and w is linear in w, and its derivative by w the
    Jacobian's transpose: two passes backward are one forward.
    """
    import torch

    at = at.requires_grad_()
    value = operator(at)
    w = torch.zeros_like(value, requires_grad=True)
    (back,) = torch.autograd.grad(value, at, w, create_graph=True)

    def derivative(change: Tensor) -> Tensor:
        (result,) = torch.autograd.grad(back, w, change, retain_graph=True)
        return result

    return derivative


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `moments`."""
    return Moments

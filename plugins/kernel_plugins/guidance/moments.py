"""`moments`: posterior sampling with the covariance of x0 given x from the network."""

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
    """Replace D by the mean of x0 given x and the target, by matching two moments of x0 given x.

    Rozet et al. 2024 (moment matching posterior sampling). x0 given x is modelled as N(D, V) with
    V = sigma^2 J, J the Jacobian of D by x, which is exact for Gaussian data (Tweedie). Then

        D' = D + scale V A* v,    (noise^2 + tolerance^2 sigma^2 + A V A*) v = target - A(D).

    `iterations` of conjugate gradients solve for v, each item alone; each iteration costs one
    backward pass through the network. J is symmetric for an exact denoiser. A is linearised at D.
    One iteration is the best step along the gradient. A network is not an exact denoiser:
    `tolerance` keeps the solution from compensating for its errors. For an exact denoiser a smaller
    tolerance is nearer to the posterior.
    """

    strength: ClassVar[str | None] = "scale"
    neutral: ClassVar[Mapping[str, Any] | None] = {"scale": 0.0}

    iterations: int = Field(
        3, ge=1, description="conjugate gradient iterations, one more backward pass each"
    )
    tolerance: float = Field(
        0.3, ge=0, description="error of the target besides its noise, in units of sigma"
    )
    scale: float = Field(1.0, ge=0, description="factor on the change of D")

    @property
    def needs(self) -> frozenset[str]:
        """Return `measurement` and `gradient`."""
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
    """Return the derivative of the operator at a latent: change of x0 -> change of operator(x0).

    The product of the Jacobian's transpose and w is linear in w. Its derivative by w gives the
    Jacobian: two backward passes make one forward pass.
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

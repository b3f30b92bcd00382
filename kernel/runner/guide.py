"""The denoiser that a run's guidances make of the network's: stage by stage, in one order."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from kernel.errors import MisfitError
from kernel.kinds.guidance import Guidance
from kernel.values import Condition, Context, GuidedDenoise


def guided(
    denoise: GuidedDenoise, guidances: Mapping[str, Guidance], context: Context
) -> GuidedDenoise:
    """Return `denoise` with every guidance around it; `guidances` are in the order of effect.

    All that steer look at the same evaluation, whose graph of gradients is made once: their order
    cannot matter, and the cost is one forward pass and one backward pass for each loss.
    """
    steering = {name: each for name, each in guidances.items() if each.steers}
    for guidance in guidances.values():
        if guidance.stage == "mix":
            denoise = guidance.wrap(denoise, context)
    if steering:
        denoise = _steered(denoise, steering, context)
    for guidance in guidances.values():
        if guidance.stage != "mix":
            denoise = guidance.wrap(denoise, context)
    return denoise


def _steered(
    denoise: GuidedDenoise, steering: Mapping[str, Guidance], context: Context
) -> GuidedDenoise:
    def steered(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0 = denoise(x, sigma, condition)
            estimate = x0.detach()
            for name, guidance in steering.items():
                change = guidance.steer(x, x0, sigma, partial(_pull, x, name), context)
                estimate = estimate + change.detach()
        return estimate

    return steered


def _pull(x: Tensor, name: str, loss: Tensor) -> Tensor:
    """Be the Pull towards the state `x` that `guidance.name` asks of."""
    found = None
    if loss.requires_grad:
        # Other losses of the same evaluation may follow, so that its graph is kept.
        (found,) = torch.autograd.grad(loss.sum(), x, retain_graph=True, allow_unused=True)
    if found is None:
        raise MisfitError(
            f"guidance.{name} follows a gradient, but what is measured of this sound has none (a "
            f"step of its operator cannot be differentiated); use a guidance that projects, or a "
            f"task that measures something smooth"
        )
    return found

"""Functions of the guidances that follow a task's measurement."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from kernel import Context, Measurement, Pull, UsageError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "after_ancestral_step",
    "likelihood",
    "measured",
    "nonzero",
    "norm",
    "ratio",
    "squared_error",
]


def measured(context: Context, guidance: str) -> Measurement:
    """Return the run's measurement. Raises UsageError, naming the guidance, when there is none."""
    if context.measurement is None:
        raise UsageError(
            f"guidance {guidance!r} needs a measurement and this run has none; choose a task with "
            f"a measurement (such as infill), or leave the guidance out"
        )
    return context.measurement


def squared_error(known: Measurement, state: Tensor) -> Tensor:
    """Return |A(state) - y|^2 of each item, [B]. state: [B, C, *S]."""
    return (known.operator(state) - known.target).square().flatten(1).sum(1)


def likelihood(known: Measurement, state: Tensor, variance: float, pull: Pull) -> Tensor:
    """Return the gradient of ln N(y; A(state), (noise^2 + variance) I) by x: [B, C, *S]."""
    return pull(squared_error(known, state)) / (-2 * (known.noise**2 + variance))


def norm(gradient: Tensor) -> Tensor:
    """Return the Euclidean norm of each item, `nonzero`: [B, 1, ...]."""
    lengths = gradient.square().flatten(1).sum(1).sqrt()
    return nonzero(lengths).view(-1, *[1] * (gradient.ndim - 1))


def nonzero(lengths: Tensor) -> Tensor:
    """Return lengths to divide by, 1 in place of 0: a zero vector stays zero."""
    return lengths.masked_fill(lengths == 0, 1.0)


def ratio(context: Context, sigma: float) -> float:
    """Return sigma' / sigma of the grid's step that starts at `sigma`; 0 for the last step.

    Between two sigmas of the grid (churn, stages) it is the ratio of the step around `sigma`.
    """
    reached = sum(each >= sigma * (1 - 1e-9) for each in context.sigmas)
    index = max(1, reached)
    return context.sigmas[index] / context.sigmas[index - 1]


def after_ancestral_step(context: Context, sigma: float) -> float:
    """Return f so that D - f g changes a step of `ddpm` by -g, both in variance-preserving form.

    The state of that form is z = x / sqrt(sigma_data^2 + sigma^2), of unit variance. With g the
    gradient by x, z' minus the gradient by z is x' minus sqrt(sigma_data^2 + sigma^2)
    sqrt(sigma_data^2 + sigma'^2) g. The step gives D the weight 1 - (sigma'/sigma)^2.
    """
    kept, data = ratio(context, sigma), context.sigma_data
    return math.hypot(data, sigma) * math.hypot(data, kept * sigma) / (1 - kept**2)

"""Finds runs that go wrong: states beyond all data, measurements of the wrong shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from kernel.assembly import Assembly
from kernel.errors import KernelError, MisfitError, NumericalError
from kernel.values import LatentSpace, Measurement

LIMIT = 30.0
"""How many times as large as the data, in root mean square, guidance may make a sound."""


def size(x: Tensor) -> Tensor:
    """Return the largest mean square of the items of a state, on its device.

    To look at it would make the host wait, so that a run looks when its trajectory is over.
    """
    return x.float().square().flatten(1).mean(1).amax()


def check_trajectory(assembly: Assembly, sigmas: Sequence[float], sizes: Sequence[Tensor]) -> None:
    """Raise NumericalError naming the first bad step and what to change. sizes: after each step.

    A solver may be far out in between and come back, so that only the end tells whether guidance
    was too strong.
    """
    data = assembly.objective.sigma_data
    found = torch.stack(list(sizes)).sqrt().tolist()
    bad = [step for step, each in enumerate(found) if not math.isfinite(each)]
    what = "left the finite numbers"
    steered = any(each.steers for each in assembly.guidances.values())
    if not bad and steered and found[-1] > LIMIT * data:
        limits = [LIMIT * math.hypot(data, sigma) for sigma in sigmas[1:]]
        bad = [step for step, each in enumerate(found) if each > limits[step]]
        what = f"went astray, the sound ended {found[-1] / data:.2g} times too loud"
    if bad:
        raise NumericalError(
            f"step {bad[0] + 1} of {len(found)} (to sigma {sigmas[bad[0] + 1]:.4g}) {what}; "
            f"{_remedy(assembly)}"
        )


def _remedy(assembly: Assembly) -> str:
    lower = [
        f"guidance.{name}.{each.strength}={value / 4:.3g}"
        for name, each in assembly.guidances.items()
        if each.strength is not None and (value := float(getattr(each, each.strength)))
    ]
    if not lower:
        return "use more steps, weaker guidance, or --precision float32"
    return f"the guidance is too strong: try -o {' -o '.join(lower)}, or more steps"


def check_measurement(measurement: Measurement, space: LatentSpace, batch: int) -> None:
    """Raise MisfitError unless what is measured of latents has the shape of the target."""
    zeros = torch.zeros(batch, *space.latent.shape, device=space.device)
    try:
        found = tuple(measurement.operator(zeros).shape)
    except KernelError:
        raise
    except RuntimeError as error:
        raise MisfitError(
            f"the task's measurement does not take latents of the shape {space.latent.shape} "
            f"({str(error).splitlines()[0]}); choose another task or codec"
        ) from None
    if found != tuple(measurement.target.shape):
        raise MisfitError(
            f"the task measures {found[1:]} values of a sound, but its target has "
            f"{tuple(measurement.target.shape)[1:]}; both have to be of the same length of audio"
        )

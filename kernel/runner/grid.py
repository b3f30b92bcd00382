"""The sigmas of a run, as its schedule makes them and held to what every solver relies on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

from pydantic import ValidationError

from kernel.assembly import Assembly
from kernel.errors import PluginError, UsageError
from kernel.kinds.schedule import Schedule
from kernel.values import LatentSpec, NativePath

LONGEST = 50
"""How many times as many steps as are asked for a grid is made of, to find those below a start."""


def grid(
    assembly: Assembly, steps: int, latent: LatentSpec, start: float | None = None
) -> list[float]:
    """Return the sigmas at which an assembly samples latents of such a size.

    start: sigma / sigma_data to start at. The sigmas are then that one and the last ones below it
    of a longer grid, the shortest that has so many there.

    Raises UsageError when the start is below every grid, and what `descending` raises.
    """
    schedule, path = assembly.schedule, assembly.objective.path
    owner = assembly.spelling("schedule")
    if start is None:
        return descending(schedule, path, steps, latent, owner)
    start *= assembly.objective.sigma_data
    for longer in range(steps, LONGEST * steps + LONGEST):
        whole = descending(schedule, path, longer, latent, owner)
        below = [sigma for sigma in whole if sigma < start * (1 - 1e-9)]
        if len(below) >= steps:
            return [min(start, whole[0]), *below[-steps:]]
    raise UsageError(
        f"the schedule has too few sigmas below {start:.4g}, where the window starts; "
        f"start higher, or take fewer steps"
    )


def descending(
    schedule: Schedule, path: NativePath | None, steps: int, latent: LatentSpec, owner: str
) -> list[float]:
    """Return the grid of the schedule `owner`, which has adopted `path`, for such latents.

    Raises UsageError when `steps` < 1, or naming the options that were set and without which the
    grid would be right, and PluginError, naming `owner`, unless it is steps + 1 finite numbers that
    descend to 0.
    """
    sigmas, wrong = _made(schedule, steps, latent)
    if wrong is None:
        return sigmas
    noun = "step" if steps == 1 else "steps"
    made = (
        f"a grid of {steps} {noun} that {wrong}, where a solver needs {steps + 1} finite sigmas "
        f"that descend to 0"
    )
    chosen = sorted(schedule.model_fields_set)
    for names in (*((name,) for name in chosen), chosen):
        kept = {name: getattr(schedule, name) for name in chosen if name not in names}
        with suppress(UsageError, ValidationError):
            other = type(schedule)(**kept).along(path)
            if _made(other, steps, latent)[1] is None:
                said = " and ".join(f"schedule.{name}={getattr(schedule, name)}" for name in names)
                break
    else:
        raise PluginError(f"{owner} made {made}; choose other options or another schedule")
    raise UsageError(f"{said} makes {made}; choose another value")


def _made(schedule: Schedule, steps: int, latent: LatentSpec) -> tuple[list[float], str | None]:
    """Return a grid, and what is wrong with it or None."""
    try:
        sigmas = schedule.sized(latent).sigmas(steps)
    except (ArithmeticError, ValueError) as error:
        return [], f"cannot be computed ({type(error).__name__})"
    return sigmas, fault(sigmas, steps)


def fault(sigmas: Sequence[float], steps: int) -> str | None:
    """Return what is wrong with a grid, or None."""
    if len(sigmas) != steps + 1:
        return f"has {len(sigmas)} values"
    for sigma in sigmas:
        if not math.isfinite(sigma):
            return f"holds {sigma}"
    for sigma, following in pairwise(sigmas):
        if sigma <= following:
            return f"goes from {sigma:.4g} to {following:.4g}"
    if sigmas[-1] != 0:
        return f"ends at {sigmas[-1]:.4g}"
    return None

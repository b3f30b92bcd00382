"""The sigmas of a run, as its schedule makes them and held to what every solver relies on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from kernel.assembly import Assembly
from kernel.errors import PluginError, UsageError
from kernel.values import LatentSpec

LONGEST = 50
"""How many times as many steps as are asked for a grid is made of, to find those below a start."""


def grid(
    assembly: Assembly, steps: int, latent: LatentSpec, start: float | None = None
) -> list[float]:
    """Return the sigmas at which an assembly samples latents of such a size.

    start: sigma / sigma_data to start at. The sigmas are then that one and the last ones below it
    of a longer grid, the shortest that has so many there.

    Raises UsageError when `steps` < 1 or the start is below every grid, and PluginError, naming the
    schedule, unless they are steps + 1 finite numbers that descend to 0.
    """
    if start is None:
        return _whole(assembly, steps, latent)
    start *= assembly.objective.sigma_data
    for longer in range(steps, LONGEST * steps + LONGEST):
        whole = _whole(assembly, longer, latent)
        below = [sigma for sigma in whole if sigma < start * (1 - 1e-9)]
        if len(below) >= steps:
            return [min(start, whole[0]), *below[-steps:]]
    raise UsageError(
        f"the schedule has too few sigmas below {start:.4g}, where the window starts; "
        f"start higher, or take fewer steps"
    )


def _whole(assembly: Assembly, steps: int, latent: LatentSpec) -> list[float]:
    sigmas = assembly.schedule.sized(latent).sigmas(steps)
    return checked(sigmas, steps, assembly.spelling("schedule"))


def checked(sigmas: list[float], steps: int, owner: str) -> list[float]:
    """Return the sigmas that `owner` made. Raises PluginError unless a solver can follow them."""
    wrong = fault(sigmas, steps)
    if wrong is not None:
        noun = "step" if steps == 1 else "steps"
        raise PluginError(
            f"{owner} made a grid of {steps} {noun} that {wrong}, where a solver needs "
            f"{steps + 1} finite sigmas that descend to 0; choose other options or another schedule"
        )
    return sigmas


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

"""Functions of the solvers that step below the next sigma and add noise to reach it."""

from __future__ import annotations

import math

__all__ = ["split"]


def split(sigma: float, following: float, eta: float) -> tuple[float, float]:
    """Return (down, up): step to `down`, then add noise of standard deviation `up`.

    With eta = 1, x at `following` has the distribution of DDPM's reverse Markov chain given x0
    (Song et al. 2021 (DDIM), eq. 16, divided by the scale of x); 0 is deterministic. The variances
    add up: down^2 + up^2 = following^2.
    """
    up = min(following, eta * following / sigma * math.sqrt(max(sigma**2 - following**2, 0.0)))
    return math.sqrt(following**2 - up**2), up

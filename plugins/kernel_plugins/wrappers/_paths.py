"""Noise from Brownian paths."""

from __future__ import annotations

import math
from hashlib import blake2b

import torch
from torch import Tensor

from kernel import Noise, UsageError

__all__ = ["PathNoise", "level"]

RESOLUTION = 1e-14
"""Resolution of the clock, in units of sigma_max^2: exact to 0.1 % at 3e-6 sigma_max."""


class PathNoise:
    """A Noise whose draws are the increments of one path for each item, from sigma_max^2 to 0.

    noise: the run's noise; one draw of it seeds the paths, so an item's path follows its seed.
    """

    def __init__(self, noise: Noise, sigma_max: float) -> None:
        self._noise = noise
        self._sigma_max = self._reached = sigma_max
        self._first: Tensor | None = None
        self._seeds: list[bytes] = []
        self._levels: Tensor | None = None

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the noise of the step from sigma to following, [B, *shape].

        Raises UsageError for a step of no length, or a step that is not below all earlier steps.
        """
        if not following < sigma <= self._reached:
            raise UsageError(
                f"the solver asks for noise from sigma {sigma:.4g} to {following:.4g} after it "
                f"reached {self._reached:.4g}, but a Brownian path goes down once; choose "
                f"another solver, or leave wrapper.brownian out"
            )
        if self._first is None:
            self._first = self._noise(sigma, following)
            drawn = self._first.float().cpu().numpy()
            self._seeds = [blake2b(item.tobytes(), digest_size=8).digest() for item in drawn]
        if self._levels is None or sigma != self._reached:
            self._levels = self._at(sigma)
        above, self._levels, self._reached = self._levels, self._at(following), following
        start, end = (following / self._sigma_max) ** 2, (sigma / self._sigma_max) ** 2
        return ((above - self._levels) / math.sqrt(end - start)).to(self._first)

    def _at(self, sigma: float) -> Tensor:
        assert self._first is not None
        clock, shape = (sigma / self._sigma_max) ** 2, self._first.shape[1:]
        return torch.stack([level(seed, clock, shape) for seed in self._seeds])


def level(seed: bytes, clock: float, shape: tuple[int, ...]) -> Tensor:
    """Return W(clock) of the standard Brownian path of a seed, for a clock from 0 to 1.

    The interval around the clock is halved down to RESOLUTION. The middle of each interval is drawn
    given its ends, from a seed of its own: the order of the calls does not change the path (Li et
    al. 2020, algorithm 3).
    """

    def normal(node: int) -> Tensor:
        place = blake2b(f"{node}".encode(), key=seed, digest_size=8).digest()
        draws = torch.Generator().manual_seed(int.from_bytes(place) >> 1)
        return torch.randn(shape, generator=draws)

    left, right, below, above, node = 0.0, 1.0, torch.zeros(shape), normal(0), 1
    while right - left > RESOLUTION and left < clock < right:
        middle = (left + right) / 2
        between = (below + above) / 2 + math.sqrt(right - left) / 2 * normal(node)
        if clock < middle:
            right, above, node = middle, between, 2 * node
        else:
            left, below, node = middle, between, 2 * node + 1
    return torch.lerp(below, above, (clock - left) / (right - left))

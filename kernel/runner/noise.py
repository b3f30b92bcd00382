"""Noise whose item i depends on the seed and i alone, whatever the batch and the device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from kernel.errors import UsageError
from kernel.seeds import derive, generator

if TYPE_CHECKING:
    from torch import Tensor

    from kernel.runner.device import Machine

__all__ = ["BrownianNoise", "ItemNoise"]


class ItemNoise:
    """A Noise for the items at the given places; drawn on the CPU, so that devices agree.

    The place of a request is its index, that of a window of it has the window's number too.
    """

    def __init__(
        self,
        seed: int,
        places: Sequence[tuple[int | str, ...]],
        shape: tuple[int, ...],
        machine: Machine,
    ) -> None:
        self._generators = [generator(seed, "item", *place) for place in places]
        self._shape = shape
        self._machine = machine

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the next standard normal noise, [B, *shape]."""
        draws = [torch.randn(self._shape, generator=each) for each in self._generators]
        return self._machine.put(torch.stack(draws))


class BrownianNoise:
    """A Noise that is read off one Brownian path for each item, from sigma_max^2 down to 0.

    The path's clock is sigma^2, the variance that the reverse SDE adds (Song et al. 2021 (score
    SDE), eq. 6, for the variance exploding process). So the noise of a step, times the root of its
    sigma^2 - sigma'^2, is the sum of the noises of any steps that it is divided into: finer grids
    refine the same path, and their results converge.
    """

    def __init__(
        self,
        seed: int,
        places: Sequence[tuple[int | str, ...]],
        shape: tuple[int, ...],
        machine: Machine,
        sigma_max: float,
    ) -> None:
        try:
            from torchsde import BrownianInterval
        except ImportError:
            raise UsageError(
                "Brownian noise needs the package torchsde; install kernel-audio[brownian], or use "
                "--noise independent"
            ) from None
        # Halving down to _RESOLUTION makes a path independent of where it is asked for.
        self._paths = [
            BrownianInterval(
                0.0,
                1.0,
                size=shape,
                entropy=derive(seed, "path", *place),
                tol=_RESOLUTION,
                halfway_tree=True,
            )
            for place in places
        ]
        self._machine = machine
        self._sigma_max = self._reached = sigma_max

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the noise of the step from sigma to following, [B, *shape].

        Raises UsageError for a step that has no length or does not lie below all earlier ones.
        """
        if not following < sigma <= self._reached:
            raise UsageError(
                f"the solver asks for noise from sigma {sigma:.4g} to {following:.4g} after it "
                f"came down to {self._reached:.4g}, but a Brownian path goes down once; use "
                f"--noise independent"
            )
        self._reached = following
        start, end = (following / self._sigma_max) ** 2, (sigma / self._sigma_max) ** 2
        increments = torch.stack([path(start, end) for path in self._paths])
        return self._machine.put(increments.mul_(1 / math.sqrt(end - start)))


_RESOLUTION = 1e-14
"""Of the clock, in units of sigma_max^2: that of 3e-6 sigma_max is right to a thousandth."""

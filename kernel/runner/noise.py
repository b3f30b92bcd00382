"""Noise whose item i depends on the seed and i alone, whatever the batch and the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kernel.runner.device import Machine
from kernel.seeds import generator


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

"""Noise whose item i depends on the seed and i alone, whatever the batch and the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from kernel.seeds import generator

if TYPE_CHECKING:
    from torch import Tensor

    from kernel.runner.device import Machine

__all__ = ["ItemNoise"]


class ItemNoise:
    """A Noise for the items with the given indices; drawn on the CPU, so that devices agree."""

    def __init__(
        self, seed: int, indices: Sequence[int], shape: tuple[int, ...], machine: Machine
    ) -> None:
        self._generators = [generator(seed, "item", index) for index in indices]
        self._shape = shape
        self._machine = machine

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the next standard normal noise, [B, *shape]."""
        draws = [torch.randn(self._shape, generator=each) for each in self._generators]
        return self._machine.put(torch.stack(draws))

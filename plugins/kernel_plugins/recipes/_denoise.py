"""The training of one network to denoise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kernel import Batch, Parts, Schedule
from kernel_plugins.recipes._balance import Balance

if TYPE_CHECKING:
    from kernel_plugins.recipes.denoise import Denoise

__all__ = ["BANDS", "Denoising", "bands"]

BANDS = 5


class Denoising(nn.Module):
    """A RecipeModule of one group, `network`."""

    def __init__(self, recipe: Denoise, parts: Parts) -> None:
        super().__init__()
        self.network = parts.network
        self.balance = Balance() if recipe.weighting == "learned" else None
        self._recipe = recipe
        self._objective = parts.objective
        self._schedule = parts.schedule
        self._denoise = parts.denoiser(self.network)

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return all parameters in one group."""
        return {"network": list(self.parameters())}

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        """Return the network."""
        return {"backbone": self.network}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        """Return the loss of each item, [B]."""
        sigma = batch.together(self._schedule.draw)
        loss = self._loss(batch, sigma)
        if self.balance is not None:
            loss = self.balance(loss, sigma)
        return {"network": loss}

    def watch(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the loss of each item at each of the sigmas of `bands`, without the balance."""
        return {
            f"sigma-{sigma:.3g}": self._loss(batch, batch.x0.new_full((len(batch.x0),), sigma))
            for sigma in bands(self._schedule)
        }

    def _loss(self, batch: Batch, sigma: Tensor) -> Tensor:
        """Return weight(sigma) |D - x0|^2 of each item, [B]; each call draws noise anew."""
        x = batch.x0 + batch.each(sigma) * batch.normal()
        error = (self._denoise(x, sigma, batch.condition) - batch.x0).square()
        loss: Tensor = self._recipe.weight(self._objective, sigma) * batch.mean(error)
        return loss


def bands(schedule: Schedule) -> list[float]:
    """Return the median of each of `BANDS` equally likely bands of the sigmas of a training.

    The mean of the losses there estimates the mean over all sigmas. They ascend, and depend on the
    schedule alone.
    """
    drawn = schedule.draw(200 * BANDS, torch.Generator().manual_seed(0))
    return [float(band.median()) for band in drawn.sort().values.chunk(BANDS)]

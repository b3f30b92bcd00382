"""The training of one network to denoise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor, nn

from kernel import Batch, Parts
from kernel_plugins.recipes._balance import Balance

if TYPE_CHECKING:
    from kernel_plugins.recipes.denoise import Denoise

__all__ = ["Denoising"]


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
        """Return everything, in one group."""
        return {"network": list(self.parameters())}

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        """Return the network."""
        return {"backbone": self.network}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        """Return the loss of each item, [B]."""
        sigma = batch.together(self._schedule.draw)
        x = batch.x0 + batch.each(sigma) * batch.normal()
        error = (self._denoise(x, sigma, batch.condition) - batch.x0).square()
        loss: Tensor = self._recipe.weight(self._objective, sigma) * batch.mean(error)
        if self.balance is not None:
            loss = self.balance(loss, sigma)
        return {"network": loss}

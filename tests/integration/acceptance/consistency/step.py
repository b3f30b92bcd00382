"""The step of `consistency`. It is a module of its own, because it imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kernel import Batch, Parts

if TYPE_CHECKING:
    from .recipe import Consistency


class Step(nn.Module):
    """One network in one group, and the average that teaches it."""

    def __init__(self, recipe: Consistency, parts: Parts) -> None:
        super().__init__()
        self.network = parts.network
        self.average = parts.average(self.network, recipe.half_life)
        self._student, self._target = parts.denoiser(self.network), parts.denoiser(self.average)
        self._teacher = parts.model(recipe.teacher) if recipe.teacher else None
        self._objective, self._schedule, self._ratio = parts.objective, parts.schedule, recipe.ratio

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return the network; the average is trained by nobody."""
        return {"network": list(self.network.parameters())}

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        """Return the network."""
        return {"backbone": self.network}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        """Return the loss of each item, [B]."""
        sigma = batch.together(self._schedule.draw)
        x = batch.x0 + batch.each(sigma) * batch.normal()
        with torch.no_grad():
            x0 = batch.x0
            if self._teacher is not None:
                x0 = self._teacher(x, sigma, batch.condition)
            # One step of Euler's method along dx/dsigma = (x - x0) / sigma.
            further = x0 + self._ratio * (x - x0)
            target = self._target(further, self._ratio * sigma, batch.condition)
        error = self._student(x, sigma, batch.condition) - target
        return {"network": self._objective.weight(sigma) * batch.mean(error.square())}

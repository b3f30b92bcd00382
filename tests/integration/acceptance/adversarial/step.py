"""The step of `adversarial`. It is a module of its own, because it imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from kernel import Batch, Parts


class Step(nn.Module):
    """A network and a critic, in two groups that take turns."""

    def __init__(self, share: float, parts: Parts) -> None:
        super().__init__()
        self.network, self.critic = parts.network, parts.build_network()
        self._share = share
        self._objective, self._schedule = parts.objective, parts.schedule
        self._denoise = parts.denoiser(self.network)
        self._criticise = parts.denoiser(self.critic)

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return both networks, each with an optimizer of its own."""
        return {
            "network": list(self.network.parameters()),
            "critic": list(self.critic.parameters()),
        }

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        """Return the network; the critic stays behind."""
        return {"backbone": self.network}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        """Return the loss of each item, [B], of one of the groups."""
        sigma = batch.together(self._schedule.draw)
        x = batch.x0 + batch.each(sigma) * batch.normal()
        if k % 2:
            with torch.no_grad():
                estimate = self._denoise(x, sigma, batch.condition)
            real = self.score(batch, batch.x0, sigma)
            return {"critic": softplus(-real) + softplus(self.score(batch, estimate, sigma))}
        estimate = self._denoise(x, sigma, batch.condition)
        error = self._objective.weight(sigma) * batch.mean((estimate - batch.x0).square())
        doubt = softplus(-self.score(batch, estimate, sigma))
        return {"network": error + self._share * doubt}

    def score(self, batch: Batch, x: Tensor, sigma: Tensor) -> Tensor:
        """Return how real each item looks, [B]."""
        return batch.mean(self._criticise(x, sigma, batch.condition))

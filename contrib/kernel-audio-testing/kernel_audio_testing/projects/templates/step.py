"""The step of the recipe. It is a module of its own, because it imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from kernel import Batch, Parts


class Step(nn.Module):
    """All that is trained, and the losses of a step."""

    def __init__(self, c: float, parts: Parts) -> None:
        super().__init__()
        self.network = parts.network
        self._c = c
        self._objective, self._schedule = parts.objective, parts.schedule
        self._denoise = parts.denoiser(self.network)

    @property
    def groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Return the parameters of each optimizer."""
        return {"network": list(self.network.parameters())}

    @property
    def exports(self) -> Mapping[str, nn.Module]:
        """Return what becomes the model."""
        return {"backbone": self.network}

    def forward(self, batch: Batch, k: int) -> Mapping[str, Tensor]:
        """Return the loss of each item, [B]."""
        sigma = batch.together(self._schedule.draw)
        x = batch.x0 + batch.each(sigma) * batch.normal()
        error = self._denoise(x, sigma, batch.condition) - batch.x0
        huber = (error.square() + self._c**2).sqrt() - self._c
        return {"network": self._objective.weight(sigma) * batch.mean(huber)}

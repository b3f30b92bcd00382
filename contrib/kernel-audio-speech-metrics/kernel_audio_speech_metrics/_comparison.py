"""The base of the metrics' modules: each sound has a reference, and neither may be silent."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchmetrics
from torch import Tensor

from kernel import InputError

__all__ = ["Comparison"]


class Comparison(torchmetrics.Metric):
    """The mean of a score over the channels and the sounds.

    score(audio, reference) -> [C]; audio, reference: [C, L], without silent channels.
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, score: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self._score = score
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, audio: Tensor, reference: Tensor) -> None:
        """Add a sound and its reference. Raises InputError when one of them is silent."""
        for part, what in ((audio, "sound"), (reference, "reference")):
            if not part.any(-1).all():
                raise InputError(
                    f"the {what} is silent in a channel, and silence cannot be compared; leave "
                    f"the sound out"
                )
        scores = self._score(audio, reference)
        self.total += scores.sum().to(self.total)
        self.count += scores.numel()

    def compute(self) -> Tensor:
        """Return the mean."""
        return self.total / self.count

"""What the metrics here share: a reference, and silence that is refused."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchmetrics
from torch import Tensor

from kernel import InputError

__all__ = ["Comparison"]


class Comparison(torchmetrics.Metric):
    """The mean of a score over the channels and the sounds that were taken in.

    score(audio, reference) -> [C]; audio, reference: [C, L], no channel of them silent.
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
        """Take in a sound and its reference; raises InputError when one of them is silent."""
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

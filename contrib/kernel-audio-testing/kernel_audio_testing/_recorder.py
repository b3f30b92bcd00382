"""A network that remembers, and what it is given: for the checks of objectives."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from kernel.kinds.objective import Objective
from kernel_audio_testing._tools import normal

__all__ = ["SIGMAS", "Recorder", "elementwise", "pair"]

SIGMAS = tuple(10 ** (power / 2) for power in range(-6, 5))
"""1e-3 to 1e2."""


@attrs.define(eq=False)
class Recorder:
    """A network that remembers its input; `answer` is a tensor or a function of the input."""

    answer: Tensor | Callable[[Tensor, Tensor], Tensor]
    x: Tensor = attrs.field(init=False)
    c_noise: Tensor = attrs.field(init=False)

    def __call__(self, x: Tensor, c_noise: Tensor, condition: object) -> Tensor:
        """Return the answer."""
        self.x, self.c_noise = x.detach().clone(), c_noise.detach().clone()
        return self.answer if isinstance(self.answer, Tensor) else self.answer(x, c_noise)


def elementwise(x: Tensor, c_noise: Tensor) -> Tensor:
    """Return what a network might that looks at each value alone."""
    return torch.tanh(x) * (1 + 0.1 * c_noise.tanh().view(-1, *[1] * (x.ndim - 1)))


def pair(objective: Objective, *shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return normal data of the objective's scale, and noise."""
    return objective.sigma_data * normal(*shape, seed=seed), normal(*shape, seed=seed + 1)

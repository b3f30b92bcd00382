"""Linear multistep methods: each step combines the state and the last evaluations."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from kernel import Denoise, Noise, Solver, Step
from kernel_plugins.solvers._leap import LeapRatio
from kernel_plugins.solvers._multistep import Prediction, combine

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Linear", "Update"]


@attrs.frozen
class Update:
    """One step: x' = scale x + sum_k weights_k models_k + up n, the newest model first.

    A model is D, or the noise (x - D) / sigma, at the step of its evaluation.
    """

    scale: float
    weights: tuple[float, ...]
    up: float = 0.0


class Linear(Solver):
    """Make every step by an update that depends only on the grid.

    The updates are computed once for a grid, on the host, before the first step. A step longer than
    `leap_ratio` allows uses fewer evaluations.
    """

    leap_ratio: LeapRatio = 2.0

    if TYPE_CHECKING:  # a solver has a class variable or an option

        @property
        def prediction(self) -> Prediction:
            """Return the kind of model: x0 or the noise."""

    def updates(self, sigmas: Sequence[float]) -> Iterator[Update | None]:
        """Yield the update of each step, None for a step that returns D.

        Update k uses at most the models of the steps up to k.
        """
        raise NotImplementedError

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        of_noise = self.prediction == "noise"
        models: list[Tensor] = []  # newest first
        updates = _updates(self, tuple(sigmas))
        kept = max(len(update.weights) for update in updates if update) if any(updates) else 0
        for index, ((sigma, following), update) in enumerate(
            zip(pairwise(sigmas), updates, strict=True)
        ):
            x0 = denoise(x, sigma)
            if update is None:
                x = x0
            else:
                model = (x - x0).div_(sigma) if of_noise else x0
                models = [model, *models[: kept - 1]]
                x = combine(x, update.scale, models[: len(update.weights)], update.weights)
                if update.up > 0:
                    x.add_(noise(sigma, following), alpha=update.up)
            x = yield Step(index, following, x, x0)


@lru_cache(maxsize=64)
def _updates(solver: Linear, sigmas: tuple[float, ...]) -> tuple[Update | None, ...]:
    """Return the updates of a grid, cached for other batches and runs."""
    return tuple(solver.updates(sigmas))

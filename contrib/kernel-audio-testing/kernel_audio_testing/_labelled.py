"""Whole runs of guidances on distributions whose denoiser is exact.

Three labels have a normal distribution each, so that D is exact under a label and under none.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import attrs
import torch
from torch import Tensor

from kernel.kinds.guidance import Guidance
from kernel.runner.guide import guided
from kernel.values import Condition, Context, GuidedDenoise, Measurement
from kernel_audio_testing._guided import Draws, Scene, distance
from kernel_audio_testing._tools import normal

__all__ = ["GRID", "LABELS", "WORD", "Labelled", "Operator", "World"]

GRID = (*(10 * 0.005 ** (index / 15) for index in range(16)), 0.0)
LABELS = 3
WORD = 1
"""The label that every word stands for."""
Operator = Literal["half", "blend"]


@attrs.frozen(eq=False)
class Labelled:
    """The denoiser of normal distributions, one a label; the null condition is their mixture."""

    width: float

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return E[x0 | x, label]. x, result: [B, 2, 8]."""
        told = condition.vector
        labels = x.new_zeros(len(x), LABELS) if told is None else told[:, :LABELS]
        variance = self.width**2 + sigma**2
        shares = self._densities(x, sigma).masked_fill(_others(labels), -torch.inf).softmax(1)
        toward: Tensor = torch.einsum("bk,kcn->bcn", shares, _means().to(x)) - x
        estimate: Tensor = x + sigma**2 / variance * toward
        return estimate

    def surprise(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return -log p(x | label) of each item, -log p(x) without labels: [B]."""
        densities = self._densities(x, 0.0)
        if labels is not None:
            densities = densities.masked_fill(_others(labels), -torch.inf)
            return -densities.logsumexp(1)
        return -densities.sub(torch.tensor(LABELS).log()).logsumexp(1)

    def _densities(self, x: Tensor, sigma: float) -> Tensor:
        variance = torch.tensor(self.width**2 + sigma**2, dtype=x.dtype)
        away = (x.unsqueeze(1) - _means().to(x)).flatten(2).square().sum(2)
        return -away / (2 * variance) - x[0].numel() / 2 * variance.log()


def _means() -> Tensor:
    return 0.25 * normal(LABELS, 2, 8, seed=31)


def _others(labels: Tensor) -> Tensor:
    """Return which labels an item does not have, [B, K]; none where it has no label at all."""
    return (labels == 0) & (labels != 0).any(1, keepdim=True)


@attrs.define(eq=False)
class World:
    """Runs of one guidance on the labelled distributions, all from the same noise.

    operator: what is measured of a sound that the distribution of its label holds; None: nothing.
    noise: the deviation of its error, as the guidance is told. measured, words: how often something
    was measured, and a word was asked for.
    """

    operator: Operator | None = None
    items: int = 9
    strong: Labelled = Labelled(0.5)
    weak: Labelled = Labelled(1.0)
    noise: float = 0.0
    measured: int = 0
    words: int = 0

    @property
    def labels(self) -> Tensor:
        """Return the label of each item, one-hot: [B, 4]."""
        return torch.eye(4, dtype=torch.float64)[torch.arange(self.items) % LABELS]

    @property
    def target(self) -> Tensor:
        """Return what is measured of sounds of the labels."""
        sounds = _means()[torch.arange(self.items) % LABELS] + 0.5 * normal(
            self.items, 2, 8, seed=33
        )
        return self._measure(sounds)

    def context(self, condition: Condition) -> Context:
        """Return what a guidance is told of a run."""
        known = None
        if self.operator is not None:
            project = self._project if self.operator == "half" else None
            known = Measurement(self._counted, self.target, distance, project, self.noise)
        scene = attrs.evolve(Scene.of(), x=normal(self.items, 2, 8))
        return attrs.evolve(
            scene.context(),
            condition=condition,
            sigmas=GRID,
            measurement=known,
            noise=Draws(scene.x, range(self.items)),
            named=self._named,
            model=lambda name: self.weak,
        )

    @torch.no_grad()
    def run(self, guidance: Guidance) -> Tensor:
        """Return where Euler's steps end: [B, 2, 8]."""
        condition = Condition(vector=self.labels)
        context = self.context(condition)
        estimate: GuidedDenoise = guided(self.strong, {"subject": guidance}, context)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return estimate(x, sigma, condition)

        x: Tensor = GRID[0] * normal(self.items, 2, 8, seed=32)
        for sigma, following in pairwise(GRID):
            x = denoise(x, sigma).lerp(x, following / sigma)
            x = guidance.constrain(x, following, denoise, context)
        return x

    def _named(self, word: str) -> Condition:
        self.words += 1
        return Condition(vector=torch.eye(4, dtype=torch.float64)[WORD : WORD + 1])

    def residual(self, x: Tensor) -> float:
        """Return how far what is measured of x is from the target, in root mean square."""
        return float((self._measure(x) - self.target).square().mean().sqrt())

    def _measure(self, x0: Tensor) -> Tensor:
        half = x0[..., :4]
        return half if self.operator == "half" else (x0[..., ::2] + 0.5 * x0[..., 1::2])

    def _counted(self, x0: Tensor) -> Tensor:
        self.measured += 1
        return self._measure(x0)

    def _project(self, x0: Tensor) -> Tensor:
        self.measured += 1
        return torch.cat([self.target.to(x0), x0[..., 4:]], -1)

    def unmeasured(self, x: Tensor) -> Tensor:
        """Return what the operator does not see of x, its label's mean taken off: [B, 2, 4]."""
        away = x - _means()[torch.arange(self.items) % LABELS]
        if self.operator == "half":
            return away[..., 4:]
        across: Tensor = (away[..., 1::2] - 0.5 * away[..., ::2]) / 1.25**0.5
        return across

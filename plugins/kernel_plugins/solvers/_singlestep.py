"""Exponential Runge-Kutta methods: each step evaluates the denoiser at nodes inside the step."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import Denoise, Noise, Solver, Step
from kernel_plugins.solvers._ancestral import split
from kernel_plugins.solvers._leap import LongRatio, leaps
from kernel_plugins.solvers._multistep import Interval, Prediction, combine

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["OfNoise", "Singlestep", "Stage", "TwoStage"]

Stage = tuple[float, tuple[int, ...]]


class Singlestep(Solver):
    """Reach each stage by the quadrature of earlier ones.

    `stages` are pairs (node, the earlier evaluations that lead to it). The first evaluation is at
    0, the last stage at node 1. The step to sigma 0 returns D. With `eta` a step ends below the
    next sigma and adds noise.
    """

    prediction: ClassVar[Prediction]

    eta: float = Field(0.0, ge=0, le=1, description="share of the noise that DDPM adds; 0 is none")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return the tableau."""
        raise NotImplementedError

    @property
    def order(self) -> int:
        """Return the number of stages."""
        return len(self.stages)

    @property
    def stochastic(self) -> bool:
        """Return whether noise is added."""
        return self.eta > 0

    def nfe(self, steps: int) -> int:
        """Return one evaluation for each stage, and one for the step to 0."""
        return len(self.stages) * (steps - 1) + 1

    def predicted(self, sigma: float, following: float) -> Prediction:
        """Return the kind of model in the step from sigma to following > 0."""
        return self.prediction

    def weights(self, interval: Interval, nodes: Sequence[float]) -> list[float]:
        """Return the weights of the evaluations at `nodes` over an interval."""
        return interval.weights(nodes, interval.moments(len(nodes)))

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            down, up = split(sigma, following, self.eta)
            x = self._step(denoise, x, x0, sigma, down) if down > 0 else x0
            if up > 0:
                x = x.add(noise(sigma, following), alpha=up)
            x = yield Step(index, following, x, x0)

    def _step(self, denoise: Denoise, x: Tensor, x0: Tensor, sigma: float, down: float) -> Tensor:
        whole = Interval(self.predicted(sigma, down), sigma, down)
        models = [whole.model(x, x0)]
        nodes = [0.0]
        for node, used in self.stages:
            part = Interval(whole.prediction, sigma, whole.at(node))
            weights = self.weights(part, [nodes[k] / node for k in used])
            state = combine(x, part.scale, [models[k] for k in used], weights)
            if len(models) == len(self.stages):
                return state
            end = Interval(whole.prediction, part.following, down)
            models.append(end.model(state, denoise(state, part.following)))
            nodes.append(node)
        raise AssertionError("the last stage of a tableau is at node 1")


class OfNoise(Singlestep):
    """Predict the noise; x0 in a step so long that the last stage would be extrapolated."""

    prediction: ClassVar[Prediction] = "noise"

    leap_ratio: LongRatio = 2.0

    def predicted(self, sigma: float, following: float) -> Prediction:
        """Return the noise, or x0 if the noise gives D of the last stage too large a share.

        By the half rule this share is (sigma / sigma_m) / (2 node).
        """
        node = self.stages[-2][0]
        share = (sigma / following) ** node / (2 * node)
        return "x0" if leaps(share, node, self.leap_ratio) else "noise"


class TwoStage(Singlestep):
    """Evaluate once more, at a node inside the step."""

    node: float = Field(0.5, gt=0, le=1, description="place of the second evaluation in the step")
    exact: bool = Field(False, description="integrate a line exactly, not by the half rule")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return two stages."""
        return (self.node, (0,)), (1.0, (0, 1))

    def weights(self, interval: Interval, nodes: Sequence[float]) -> list[float]:
        """Return the exact weights, or for two evaluations those of the half rule."""
        return interval.weights(nodes, interval.line_moments(len(nodes), self.exact))

"""`ping-pong`: denoise completely, then add the noise of the next sigma."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

from kernel import Denoise, Noise, Solver, Step, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class PingPong(Solver):
    """Take D as the sound and add fresh noise of the next sigma to it.

    Song et al. 2023 (Consistency Models), algorithm 1, for models whose D is already a sample.
    Other models give sounds that are too smooth, for any number of steps. One evaluation a step.
    """

    shortfalls: ClassVar[Mapping[str, str]] = {
        "distribution": "it is for networks whose D is a sample, not the mean of all samples",
        "law": "it is for networks whose D is a sample, not the mean of all samples",
        "variance": "it is for networks whose D is a sample, not the mean of all samples",
    }

    @property
    def order(self) -> int:
        """Return 1, for a network whose D is a sample."""
        return 1

    @property
    def stochastic(self) -> bool:
        """Return True."""
        return True

    def steps(
        self, denoise: Denoise, x: Tensor, sigmas: Sequence[float], noise: Noise
    ) -> Generator[Step, Tensor, None]:
        """Yield a Step after each update. x: [B, C, *S] at sigmas[0]."""
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            x = x0 if following == 0 else x0.add(noise(sigma, following), alpha=following)
            x = yield Step(index, following, x, x0)


@hookimpl
def solver() -> type[Solver]:
    """Offer `ping-pong`."""
    return PingPong

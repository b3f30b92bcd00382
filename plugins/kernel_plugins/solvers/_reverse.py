"""One step of the reverse SDE, in sigma."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

    from kernel import Noise

__all__ = ["NoiseLimit", "reverse"]

NoiseLimit = Annotated[
    float | None,
    Field(
        gt=0,
        description="largest standard deviation of a step's noise, in units of the next sigma; "
        "none means any",
    ),
]


def reverse(
    x: Tensor,
    x0: Tensor,
    sigma: float,
    following: float,
    noise: Noise,
    frozen: bool,
    limit: float | None,
) -> Tensor:
    """Return the state at `following` > 0 after a step of dx = -2 sigma score dsigma + dw.

    Song et al. 2021 (score SDE), eq. 46: the variance of the step is sigma^2 - following^2. With
    `frozen` it is 2 sigma (sigma - following): the diffusion stays that of the start of the step
    (Euler and Maruyama). The score is (D - x) / sigma^2, so the drift moves x towards D by
    variance / sigma^2.

    Most noise of a long step belongs to its large sigmas, and the score would have removed it on
    the way. At most `limit` times `following` of noise is added.
    """
    variance = 2 * sigma * (sigma - following) if frozen else sigma**2 - following**2
    x = x.lerp(x0, variance / sigma**2)
    up = math.sqrt(variance) if limit is None else min(math.sqrt(variance), limit * following)
    return x.add_(noise(sigma, following), alpha=up)

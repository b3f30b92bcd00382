"""Leaps: steps so long beside what is known that a polynomial must not be carried across them.

A rule that weights evaluations by w_k makes their errors up to sum |w_k| / |sum w_k| times as
large. On equal short steps that is the growth of the rules of Adams and Bashforth; `leap_ratio` R
allows (1 + R) / 2 times as much. A line through two evaluations, integrated by the half rule over a
step h', has the growth 1 + h'/h, h being the step between the two: h' may be up to R h.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated

from pydantic import Field

__all__ = ["LeapRatio", "carried"]

LeapRatio = Annotated[
    float | None,
    Field(
        ge=1,
        description="longest step, in lengths of the one before, that a line is extrapolated over "
        "(longer ones lower the order); none means any",
    ),
]

GROWTH = (1.0, 2.0, 11 / 3, 20 / 3)
"""Growth of the rules of Adams and Bashforth with 1 to 4 evaluations (Hairer, Norsett, Wanner,
Solving ODEs I, table III.1.1)."""


def carried(
    rule: Callable[[Sequence[float]], Sequence[float]],
    nodes: Sequence[float],
    leap_ratio: float | None,
) -> int:
    """Return how many of `nodes`, newest first, a step uses: the most that make no leap.

    `rule` gives the weights of the evaluations at the nodes that it is passed. The decision depends
    on the grid alone.
    """
    if leap_ratio is None:
        return len(nodes)
    for count in range(len(nodes), 1, -1):
        weights = rule(nodes[:count])
        growth = sum(map(abs, weights)) / abs(math.fsum(weights))
        # Equal ratios of steps are not equal to the last bit.
        if growth <= GROWTH[count - 1] * (1 + leap_ratio) / 2 + 1e-9:
            return count
    # An exact rule may grow errors by O(h) more; on grids that are refined it must keep its order.
    return 2 if len(nodes) > 1 and -nodes[1] * leap_ratio >= 1 - 1e-9 else 1

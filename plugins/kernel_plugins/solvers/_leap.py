"""Leaps: steps so long beside what is known that a polynomial must not be carried across them.

A rule that weights evaluations by w_k makes their errors up to sum |w_k| / |sum w_k| times as
large. On equal short steps that is the growth of the rules of Adams and Bashforth; `leap_ratio` R
allows (1 + R) / 2 times as much. A line through two evaluations, integrated by the half rule over a
step h', has the growth 1 + h'/h, h being the step between the two: h' may be up to R h.

A step with two evaluations of its own has no step before it to be measured by: the growth itself,
of the line through both evaluations of D, may be up to 1 + R.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import Field

__all__ = ["LeapRatio", "LongRatio", "carried", "late_share", "leaps"]

LeapRatio = Annotated[
    float | None,
    Field(
        ge=1,
        description="longest step, in lengths of the one before, that a line is extrapolated over "
        "(longer ones lower the order); none means any",
    ),
]

LongRatio = Annotated[
    float | None,
    Field(
        ge=1,
        description="growth of errors, less 1, up to which a long step extrapolates its later "
        "evaluation (above, it goes by the half rule for x0); none means any",
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


@lru_cache(maxsize=1024)
def leaps(share: float, node: float, leap_ratio: float | None) -> bool:
    """Return whether the later of a step's two evaluations of D has too large a share in it.

    The earlier is at the start of the step and has the rest; the later is at `node`, in lengths of
    the step in ln sigma. A `share` above 1 extrapolates the line through both, and errors grow by
    2 share - 1. By the half rule for x0 the share is 1 / (2 node), as it is in all short steps.
    """
    if leap_ratio is None:
        return False
    return 2 * share - 1 > max(GROWTH[1], 1 / node - 1) * (1 + leap_ratio) / 2


@lru_cache(maxsize=1024)
def late_share(share: float, node: float, leap_ratio: float | None) -> float:
    """Return `share`, or in a leap that of the half rule for x0."""
    return 1 / (2 * node) if leaps(share, node, leap_ratio) else share

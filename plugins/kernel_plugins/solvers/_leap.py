"""Leaps: steps too long, beside the steps before them, to extrapolate a polynomial over them.

A rule with the weights w_k makes errors of the evaluations up to sum |w_k| / |sum w_k| times as
large. On equal short steps this growth is that of the rules of Adams and Bashforth; `leap_ratio` R
allows (1 + R) / 2 times as much. A line through two evaluations at the distance h, integrated by
the half rule over a step h', has the growth 1 + h'/h: h' may be up to R h.

A step with two evaluations inside it has no earlier step to compare with: the growth of the line
through both evaluations of D may be up to 1 + R.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import Field

__all__ = ["LeapRatio", "LongRatio", "carried", "late", "leaps"]

LeapRatio = Annotated[
    float | None,
    Field(
        ge=1,
        description="longest step over which a line is extrapolated, in lengths of the step before "
        "(a longer step lowers the order); none: no limit",
    ),
]

LongRatio = Annotated[
    float | None,
    Field(
        ge=1,
        description="growth of errors, less 1, up to which a long step extrapolates its later "
        "evaluation (above it, the half rule for x0 is used); none: no limit",
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
    """Return the number of `nodes`, newest first, that a step uses: the most without a leap.

    `rule` gives the weights of the evaluations at given nodes. The decision depends only on the
    grid.
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

    The earlier evaluation is at the start of the step and has the rest of the share. The later one
    is at `node`, in lengths of the step in ln sigma. A `share` above 1 extrapolates the line
    through both, and errors grow by 2 share - 1. The half rule for x0 has the share 1 / (2 node);
    in short steps all rules have about that.
    """
    if leap_ratio is None:
        return False
    return 2 * share - 1 > max(GROWTH[1], 1 / node - 1) * (1 + leap_ratio) / 2


@lru_cache(maxsize=1024)
def late(
    share: float, inner: float, sigma: float, following: float, leap_ratio: float | None
) -> tuple[float, float]:
    """Return the sigma and the share of the later evaluation of a step from sigma to following.

    That is `inner` and `share`, or in a leap the middle in ln sigma and 1: the half rule for x0
    at the node 1/2, a step of `dpmpp-2s`.
    """
    node = math.log(inner / sigma) / math.log(following / sigma)
    if leaps(share, node, leap_ratio):
        return math.sqrt(sigma * following), 1.0
    return inner, share

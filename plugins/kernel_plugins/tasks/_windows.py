"""Windows that cover a sound, and the sound joined from them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.functional import pad

from kernel_plugins.tasks._edit import Cut
from kernel_plugins.tasks._gap_edit import CONTEXT
from kernel_plugins.tasks._seams import runs


def cover(samples: int, window: int, overlap: int) -> tuple[Cut, ...]:
    """Return the fewest windows that cover `samples` and overlap by at least `overlap`.

    Their distances are equal. Their weights rise and fall linearly.
    """
    overlap = min(overlap, window - 1)
    count = max(1, -(-(samples - overlap) // (window - overlap)))
    starts = [round(index * (samples - window) / max(1, count - 1)) for index in range(count)]
    apart = max((after - start for start, after in pairwise(starts)), default=0)
    shared = max(1, window - apart)
    rise = (torch.arange(window) + 0.5).div(shared).clamp(max=1)
    return tuple(Cut(max(0, start), rise * rise.flip(0)) for start in starts)


def joined(windows: Sequence[Tensor], cuts: Sequence[Cut], lanes: Tensor) -> Tensor:
    """Return the weighted mean of the windows, and `lanes` where all weights are 0.

    windows: those of each cut, [C, W], lane after lane. lanes, result: [G, C, M].
    """
    total, weights = torch.zeros_like(lanes), lanes.new_zeros(lanes.shape[-1])
    made = iter(windows)
    for cut in cuts:
        part = slice(cut.start, cut.start + len(cut.weight))
        weight = cut.weight[: len(weights[part])]
        weights[part] += weight
        for lane in total:
            lane[:, part] += weight * next(made)[:, : len(weight)]
    return torch.where(weights > 0, total / weights.masked_fill(weights == 0, 1), lanes)


def around(keep: Tensor, window: int) -> tuple[Cut, ...]:
    """Return the fewest windows that hold every gap of `keep` [M], bool; neighbours share one.

    A window contributes its own gaps and all known samples in it to the whole.
    """
    groups: list[tuple[int, int]] = []
    for start, stop in runs(~keep):
        if groups and stop - groups[-1][0] <= room(window, 2):
            groups[-1] = (groups[-1][0], stop)
        else:
            groups.append((start, stop))
    return tuple(_around(keep, first, last, window) for first, last in groups)


def _around(keep: Tensor, first: int, last: int, window: int) -> Cut:
    start = max(0, min((first + last - window) // 2, len(keep) - window))
    weight = keep[start : start + window].float()
    weight[first - start : last - start] = 1
    return Cut(start, pad(weight, (0, window - len(weight))))


def room(window: int, sides: int) -> int:
    """Return the longest gap of a window with known sound on so many sides of the gap."""
    return window - sides * -(-window // CONTEXT)

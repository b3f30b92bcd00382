"""Where made sound meets sound that is known."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

ORDER, HISTORY = 32, 4
"""How many samples a sample is predicted from, and how many fades the prediction is fitted to."""

USUAL = 4.0
"""What no prediction is wrong by in a few dozen samples, in standard deviations of its error."""


def mended(sound: Tensor, made: Tensor, known: Tensor, fade: int) -> Tensor:
    """Return `sound` where it is known and `made` elsewhere, fitted to it over `fade` samples.

    Next to a gap, what was made differs from what is known. At each edge that difference, mirrored,
    is added to the gap, fading out by w = cos^2(pi t / 2 fade), t > 0 from the edge:

        gap(t) = a made(t) + w (known - r made)(-t),    a^2 = 1 - (1 - r^2) w^2

    with the correlation r of the two, so that what is alike (r = 1) is only corrected and what has
    nothing in common (r = 0) is cross-faded with constant power. Either way gap(0) = known(0).

    Where a guidance has put what is known in the place of what the model made of it, the difference
    says nothing. So the linear prediction of what is known looks at the first samples of the gap:
    the more they surprise it, beyond its usual error, the more the gap is cross-faded with what was
    predicted. Noise, which is always a surprise, is left alone.

    sound, made: [C, L]; known: [C or 1, L], bool.
    """
    known = known.expand(sound.shape)
    result = torch.where(known, sound, made)
    for row, given, new, mixed in zip(known, sound, made, result, strict=True):
        gaps = list(runs(~row))
        ends = [0, *(stop for _, stop in gaps)]
        starts = [*(start for start, _ in gaps[1:]), len(row)]
        for end, (start, stop), following in zip(ends, gaps, starts, strict=False):
            gap = _fitted(given[end:start], new[end:start], new[start:stop], fade)
            after, beside = given[stop:following].flip(0), new[stop:following].flip(0)
            mixed[start:stop] = _fitted(after, beside, gap.flip(0), fade).flip(0)
    return result


def runs(flags: Tensor) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each run of true values in `flags` [L]."""
    edges = pad(flags.int(), (1, 1)).diff().nonzero()[:, 0].tolist()
    yield from zip(edges[::2], edges[1::2], strict=True)


def _fitted(known: Tensor, made: Tensor, gap: Tensor, fade: int) -> Tensor:
    """Return the gap that comes after `known`, fitted to it; `made` is what was made there."""
    reach = min(fade, len(gap), len(known))
    if reach < 1:
        return gap
    known_here, made_here = known[-reach:].flip(0), made[-reach:].flip(0)
    size = float(known_here.norm() * made_here.norm())
    alike = max(0.0, float(known_here @ made_here) / size) if size else 0.0
    time = torch.arange(1, reach + 1).to(gap) / (reach + 1)
    fading = (time * torch.pi / 2).cos().square()
    edge = gap[:reach] * (1 - (1 - alike**2) * fading.square()).sqrt()
    edge = edge + (known_here - alike * made_here) * fading
    history = known[-HISTORY * reach :]
    taps, error = _prediction(history)
    expected = _continued(history, taps, reach)
    across = torch.cat([history[len(history) + 1 - len(taps) :], edge[: len(taps)]])
    missed = float((across.unfold(0, len(taps), 1) @ taps.flip(0)).abs().max())
    doubt = max(0.0, 1 - USUAL * error / missed) if missed else 0.0
    return torch.cat([edge + doubt * (expected - edge) * fading, gap[reach:]])


def _prediction(known: Tensor) -> tuple[Tensor, float]:
    """Return the filter [P] that leaves of a sound what cannot be predicted, and how much that is.

    Burg's method (Makhoul 1977, eq. 39), whose predictions never grow.
    """
    forward = backward = known.double()
    taps = forward.new_ones(1)
    for _ in range(min(ORDER, len(known) // 4)):
        forward, backward = forward[1:], backward[:-1]
        power = float(forward.square().sum() + backward.square().sum())
        if power <= 1e-20 * len(known):
            break
        reflection = -2 * float(forward @ backward) / power
        forward, backward = forward + reflection * backward, backward + reflection * forward
        taps = pad(taps, (0, 1)) + reflection * pad(taps, (0, 1)).flip(0)
    return taps.to(known), float(forward.square().mean().sqrt())


def _continued(known: Tensor, taps: Tensor, count: int) -> Tensor:
    """Return the `count` samples after `known` that are predicted."""
    past, weights = known[len(known) + 1 - len(taps) :].tolist(), (-taps[1:]).tolist()
    for _ in range(count):
        past.append(sum(weight * value for weight, value in zip(weights, past[::-1], strict=False)))
    return known.new_tensor(past[-count:])

"""The seams between made sound and known sound."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

ORDER, HISTORY = 32, 4
"""Number of samples in a prediction, and of fades to which the prediction is fitted."""

USUAL = 4.0
"""Largest usual error of a prediction in a few dozen samples, in standard deviations."""


def mended(sound: Tensor, made: Tensor, known: Tensor, fade: int) -> Tensor:
    """Return `sound` where it is known and `made` elsewhere, fitted to it over `fade` samples.

    Beside a gap, the made sound differs from the known sound. At each edge the mirrored difference
    is added to the gap and fades out by w = cos^2(pi t / 2 fade), t > 0 from the edge:

        gap(t) = a made(t) + w (known - r made)(-t),    a^2 = 1 - (1 - r^2) w^2

    r is the correlation of the two. Equal sounds (r = 1) are only corrected; unrelated sounds
    (r = 0) are cross-faded with constant power. In both cases gap(0) = known(0).

    A guidance may have replaced the made sound beside the gap by the known one; the difference is
    then meaningless. So a linear prediction from the known sound is compared with the first samples
    of the gap: the further they exceed its usual error, the more the gap is cross-faded with the
    prediction. Noise cannot be predicted and stays as it is.

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
    """Return the gap after `known`, fitted to it; `made` is the made sound in place of `known`."""
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
    """Return the filter [P] of the prediction's error, and the error's root mean square.

    Burg's method (Makhoul 1977, eq. 39): its predictions never grow.
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
    """Return the prediction of the `count` samples after `known`."""
    past, weights = known[len(known) + 1 - len(taps) :].tolist(), (-taps[1:]).tolist()
    for _ in range(count):
        past.append(sum(weight * value for weight, value in zip(weights, past[::-1], strict=False)))
    return known.new_tensor(past[-count:])

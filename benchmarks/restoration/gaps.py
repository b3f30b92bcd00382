"""The classical ways to fill a gap: linear prediction, from both sides or all at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from autoregression import burg, errors, filters
from frames import Array
from scipy.linalg import lstsq
from scipy.signal import lfilter, lfiltic

Span = tuple[int, int]


def extrapolated(given: Array, spans: Sequence[Span], order: int, context: int) -> Array:
    """Return `given` with each span predicted from both sides, one faded into the other.

    Each side's model is made of at most `context` samples, and of those that are there at most half
    as many coefficients (Kauppinen and Roth 2002, "Audio signal extrapolation"). The fades are
    squared sines and add up to 1.
    """
    filled = given.copy()
    for (start, stop), (first, last) in _surroundings(len(given), spans, context):
        before = _continued(given[first:start], stop - start, order)
        after = _continued(given[stop:last][::-1], stop - start, order)[::-1]
        fade = np.sin(np.pi / 2 * (np.arange(stop - start) + 0.5) / (stop - start)) ** 2
        filled[start:stop] = (1 - fade) * before + fade * after
    return filled


def interpolated(
    given: Array, spans: Sequence[Span], order: int, context: int, iterations: int
) -> Array:
    """Return `given` with each span as likely as can be under an autoregressive model.

    The model is made of the sound, the gap with `context` samples on both sides, then the gap of
    the model by least squares of the prediction errors, again and again (Janssen, Veldhuis and
    Vries 1986, "Adaptive interpolation of discrete-time signals that can be modeled as
    autoregressive processes", eq. 11 to 15). The first model is of the gap extrapolated.
    """
    filled = extrapolated(given, spans, order, context)
    for (start, stop), (first, last) in _surroundings(len(given), spans, context):
        part = filled[first:last].copy()
        lost = np.zeros(len(part), bool)
        lost[start - first : stop - first] = True
        for _ in range(iterations):
            matrix = errors(burg(part, min(order, len(part) // 3)), len(part))
            unknown, known = matrix[:, lost], matrix[:, ~lost] @ part[~lost]
            part[lost] = lstsq(unknown, -known, lapack_driver="gelsy")[0]
        filled[start:stop] = part[lost]
    return filled


def _surroundings(samples: int, spans: Sequence[Span], context: int) -> Iterator[tuple[Span, Span]]:
    """Yield each span beside where the sound around it begins and ends, no other gap within."""
    edges = [0, *(stop for _, stop in spans)], [*(start for start, _ in spans[1:]), samples]
    for (start, stop), first, last in zip(spans, *edges, strict=False):
        yield (start, stop), (max(first, start - context), min(last, stop + context))


def _continued(past: Array, samples: int, order: int) -> Array:
    """Return what an autoregressive model expects to follow."""
    order = min(order, len(past) // 2)
    *_, filter_ = filters(burg(past, order))
    state = lfiltic([1.0], filter_, past[::-1][:order])
    following, _ = lfilter([1.0], filter_, np.zeros(samples), zi=state)
    return following

"""The layout of a sound's card, for the page's template."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from kernel_plugins.observers._facts import under
from kernel_plugins.observers._shown import Shown
from kernel_plugins.observers._spectrum import ticks

__all__ = ["card"]


def card(shown: Shown, number: int, peak: float) -> dict[str, Any]:
    """Return the template's values for a sound; a sample of `peak` reaches the waveform's edge.

    number: of the card on the page, unique.
    """
    scale = shown.peak / (1000 * peak)
    shape = [[[value * scale for value in row] for row in lanes] for lanes in shown.waves]
    columns = len(shape[0][0])
    across = max(columns - 1, 1) * shown.seconds / max(shown.length, 1e-6)
    whole = (0.0, shown.seconds)
    return {
        "id": f"wave-{number}",
        "name": shown.name,
        "title": shown.title,
        "side": shown.side,
        "file": shown.file,
        "href": quote(shown.file),
        "source": quote(shown.file),
        "picture": quote(shown.picture),
        "figures": [(title, quote(file)) for title, file in shown.figures],
        "under": under(shown),
        "seconds": f"{shown.length:.6f}",
        "part": _lane(shown.part),
        "last": f"{shown.length:.3f}",
        "said": f"{shown.length:.2f} s",
        "across": f"{across:.6g}",
        "path": "".join(
            _outline(low, high, (index + 0.5) * 1000 / len(shape), 480 / len(shape))
            for index, (low, high) in enumerate(shape)
        ),
        "whole": _lane(whole),
        "view": _lane(shown.view),
        "seen": _place(shown.view, whole) if shown.excerpt else "",
        "place": _place(shown.seen, shown.view),
        "marks": [_place(span, whole) for span in shown.spans],
        "edits": [_place(span, shown.view) for span in shown.spans],
        "ruler": _ruler(*whole) if shown.excerpt else [],
        "ticks": _ruler(*shown.view),
        "half": f"{shown.rate / 4000:.3g}",
        "nyquist": f"{shown.rate / 2000:.3g}",
    }


def _outline(low: Sequence[float], high: Sequence[float], middle: float, half: float) -> str:
    """Return a channel as a closed path: forth along its top, back along its bottom."""
    upper = [round(middle - half * max(value, 0.04)) for value in high]
    lower = [round(middle - half * min(value, -0.04)) for value in reversed(low)]
    rise = "".join(f" 1 {b - a}" for a, b in pairwise(upper))
    fall = "".join(f" -1 {b - a}" for a, b in pairwise(lower))
    return f"M0 {upper[0]}l0 0{rise} 0 {lower[0] - upper[-1]}{fall}Z"


def _lane(view: tuple[float, float]) -> tuple[str, str]:
    return f"{view[0]:.6f}", f"{view[1]:.6f}"


def _place(span: tuple[float, float], view: tuple[float, float]) -> str:
    """Return the place of a span of time in a view, as a style."""
    (first, last), (start, stop) = span, view
    scale = 100 / max(stop - start, 1e-6)
    return f"left:{scale * (first - start):.3f}%;width:{scale * (last - first):.3f}%"


def _ruler(start: float, stop: float) -> list[tuple[str, str, str]]:
    """Return the text of each tick, its place, and whether it is the first or the last."""
    marks = []
    for time in ticks(stop, start):
        part = (time - start) / max(stop - start, 1e-6)
        side = "last" if part > 0.97 else "first" if part < 0.03 else ""
        marks.append((f"{time:g}" if time else "0 s", f"{100 * part:.2f}%", side))
    return marks

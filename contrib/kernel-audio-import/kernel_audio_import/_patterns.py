"""Patterns that choose and rename tensors.

A pattern names a tensor, or the group of all tensors below it: `encoder` fits `encoder.weight` too.
A `*` fits any text, with dots, and takes as little of it as possible.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from kernel import ForeignTensor, UsageError, did_you_mean
from kernel_audio_import._names import groups

__all__ = ["chosen", "renamed"]

_CHOICES = 5000  # a comparison takes 0.1 ms


def chosen(
    tensors: Mapping[str, ForeignTensor], only: Sequence[str], drop: Sequence[str]
) -> dict[str, ForeignTensor]:
    """Return the tensors that a pattern of `only` fits, or all, without those that `drop` fits.

    Raises UsageError for a pattern that fits no tensor, and when no tensor is left.
    """
    wanted = _fitting(tensors, only, "--only") if only else set(tensors)
    left = wanted - _fitting(tensors, drop, "--drop")
    if not left:
        raise UsageError("--only and --drop leave no tensor; drop fewer of them")
    return {name: each for name, each in tensors.items() if name in left}


def renamed(tensors: Mapping[str, ForeignTensor], old: str, new: str) -> dict[str, ForeignTensor]:
    """Return the tensors renamed: `new` replaces the text that `old` fits; an empty `new` cuts it.

    Each `*` in `new` is the text of the `*` of the same number in `old`. Raises UsageError for a
    pattern that changes no name, and for a name that is empty or that of two tensors.
    """
    line, pattern = f"--map {old}={new}", _compiled(old)
    _fitting(tensors, [old], "--map")
    found: dict[str, ForeignTensor] = {}
    origin: dict[str, str] = {}
    for name, each in tensors.items():
        fit = pattern.match(name)
        now = name if fit is None else _filled(new, fit) + name[fit.end() :]
        now = now if new else now.removeprefix(".")
        if not now or now in found:
            clash = f"the name of {origin[now]!r}" if now else "no name"
            raise UsageError(
                f"by {line} the tensor {name!r} would have {clash}; make the pattern narrower"
            )
        found[now], origin[now] = each, name
    if found.keys() == tensors.keys():
        raise UsageError(f"{line} changes no name; leave it out")
    return found


def _fitting(tensors: Mapping[str, object], patterns: Sequence[str], flag: str) -> set[str]:
    """Return the names that one of the patterns fits. Raises UsageError when one fits none."""
    fitting: set[str] = set()
    for pattern in patterns:
        compiled = _compiled(pattern)
        names = {name for name in tensors if compiled.match(name)}
        if not names:
            near = did_you_mean(pattern, [*groups(tensors), *tensors][:_CHOICES])
            raise UsageError(
                f"{flag} {pattern!r} fits no tensor{near or '; --list shows the names'}"
            )
        fitting |= names
    return fitting


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = "(.*?)".join(map(re.escape, pattern.split("*")))
    return re.compile(rf"{parts}(?=\.|$)", re.DOTALL)


def _filled(new: str, fit: re.Match[str]) -> str:
    first, *rest = new.split("*")
    return first + "".join(text + after for text, after in zip(fit.groups(), rest, strict=False))

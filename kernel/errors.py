"""Every error for users, with the exit code of `kernel`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = [
    "CheckFailed",
    "DeviceError",
    "Difference",
    "InputError",
    "KernelError",
    "LockError",
    "MisfitError",
    "NumericalError",
    "OutputError",
    "PluginError",
    "UsageError",
    "did_you_mean",
]


class KernelError(Exception):
    """Say in one sentence what happened, where, and what to do next."""

    exit_code = 1


class UsageError(KernelError):
    """An option, a name or a configuration that cannot be."""

    exit_code = 2


class PluginError(KernelError):
    """A plugin that was named and cannot be used."""

    exit_code = 3


class InputError(KernelError):
    """A file that was given and cannot be read as what it should be."""

    exit_code = 4


class OutputError(KernelError):
    """A place that cannot be written."""

    exit_code = 5


class DeviceError(KernelError):
    """A device that is not there or cannot do what was asked."""

    exit_code = 6


class MisfitError(UsageError):
    """Two parts that do not fit together."""


class NumericalError(KernelError):
    """A computation that left the finite numbers."""

    exit_code = 7


class CheckFailed(KernelError):
    """A conformance check that did not pass."""

    exit_code = 8


class Difference(NamedTuple):
    """One thing that is not what it was; `chosen` when it is a setting, an option or a part."""

    what: str
    recorded: str
    now: str
    chosen: bool


class LockError(KernelError):
    """Something that is not what it was when it was recorded: all the `differences`."""

    exit_code = 9

    def __init__(self, sentence: str, differences: Sequence[Difference] = ()) -> None:
        super().__init__(sentence)
        self.differences = tuple(differences)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'a' or 'b'?"` for near misses of `word`, or an empty string."""
    from difflib import get_close_matches

    close = get_close_matches(word, sorted(set(known)), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""

"""Runs the checks of a kind, one after another, and keeps how each of them ended."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, Literal

import attrs

from kernel.errors import UsageError
from kernel.kinds import KINDS
from kernel.models import find_pack
from kernel.registry import PluginInfo, Registry
from kernel_audio_testing._subject import Inapplicable, Shortfall, Subject, Violation

__all__ = ["Check", "Outcome", "checks_for", "outcomes", "perform", "run_checks", "subject_of"]

Status = Literal["passed", "failed", "expected", "inapplicable", "error"]
"""expected: a failure that the component lists in its `shortfalls`."""


@attrs.frozen
class Check:
    """One promise: its name, the sentence that states it, and the function that checks it.

    The function returns a fact that it measured, if any, and raises Violation or Inapplicable.
    """

    name: str
    promise: str
    function: Callable[[Subject], str | None]


@attrs.frozen
class Outcome:
    """How a check ended. detail: what was measured, broken or missing, in one sentence."""

    check: str
    promise: str
    status: Status
    detail: str
    seconds: float


def checks_for(kind: str) -> tuple[Check, ...]:
    """Return the checks of a kind of plugin, in their order."""
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is not a kind of plugin; the kinds are {', '.join(KINDS)}")
    general = () if kind == "model" else import_module("kernel_audio_testing._component").CHECKS
    special = import_module(f"kernel_audio_testing._{kind}").CHECKS
    return tuple(_check(function) for function in (*general, *special))


def run_checks(
    registry: Registry, info: PluginInfo, options: Mapping[str, Any] | None = None
) -> list[Outcome]:
    """Return how each check of a plugin ended.

    Raises PluginError when it cannot be loaded and UsageError when it does not take the options.
    """
    return list(outcomes(subject_of(registry, info, options)))


def subject_of(
    registry: Registry, info: PluginInfo, options: Mapping[str, Any] | None = None
) -> Subject:
    """Return a subject that was loaded and configured once. Raises as `run_checks` does."""
    subject = Subject(info, registry, options or {})
    if info.kind != "model":
        subject.make()
    elif subject.options:
        raise UsageError(f"{info.spelling} is a model and takes no option {min(subject.options)!r}")
    else:
        find_pack(registry, info.qualified)
    return subject


def outcomes(
    subject: Subject, begin: Callable[[Check], None] = lambda check: None
) -> Iterator[Outcome]:
    """Yield how each check of a subject ended, as it ends; `begin` is told of it as it begins."""
    for check in checks_for(subject.info.kind):
        begin(check)
        began = time.perf_counter()
        status, detail = _run(check, subject)
        yield Outcome(check.name, check.promise, status, detail, time.perf_counter() - began)


def perform(check: Check, subject: Subject) -> str:
    """Return what a check measured, if anything.

    Raises Violation, Inapplicable, whatever the plugin raises, or, for a check that the component
    lists in its `shortfalls`, Shortfall where it fails and Violation where it passes.
    """
    reason = subject.shortfalls.get(check.name)
    if reason is None:
        return check.function(subject) or ""
    try:
        check.function(subject)
    except (Inapplicable, KeyboardInterrupt):
        raise
    except BaseException as error:
        what = str(error) if isinstance(error, Violation) else _line(error)
        raise Shortfall(f"{reason} ({what})") from error
    raise Violation(
        f"it is kept, and `shortfalls` says that it is not ({reason}); take {check.name!r} off "
        "that list"
    )


def _check(function: Callable[[Subject], str | None]) -> Check:
    promise = (function.__doc__ or "").strip().splitlines()[0].removeprefix("Check that ")
    promise = promise[0].upper() + promise[1:]
    return Check(function.__name__.removeprefix("check_"), promise, function)


def _run(check: Check, subject: Subject) -> tuple[Status, str]:
    try:
        return "passed", perform(check, subject)
    except Inapplicable as reason:
        return "inapplicable", str(reason)
    except Shortfall as shortfall:
        return "expected", str(shortfall)
    except Violation as violation:
        return "failed", str(violation)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call sys.exit
        return "error", _line(error)


def _line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    foreign = [frame for frame in frames if not frame.filename.startswith("<")]
    place = f" at {foreign[-1].filename}:{foreign[-1].lineno}" if foreign else ""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:300]}{place}"

"""What observers are held to."""

from __future__ import annotations

import copy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kernel_audio_testing._subject import Subject, require
from kernel_audio_testing._tools import generator_untouched

__all__ = ["CHECKS"]


def _record() -> dict[str, Any]:
    return {"config": {"seed": 0, "steps": 3}, "plugins": [], "device": {"device": "cpu"}}


def _watch(observer: Any, folder: Path) -> None:
    record = _record()
    before = copy.deepcopy(record)
    results = [observer.started(folder, record)]
    for index in range(1, 4):
        scalars = {"loss": 1 / index, "sigma": 2.0}
        results.append(observer.step(index, 3, scalars))
        require(scalars == {"loss": 1 / index, "sigma": 2.0}, "it changes the scalars of a step")
    results += [observer.checkpoint(folder / "checkpoints" / "00000003"), observer.finished(folder)]
    require(results == [None] * len(results), "it returns something, which nobody reads")
    require(record == before, "it changes the record of the run")


def check_lifecycle(subject: Subject) -> str | None:
    """Check that it follows a run from start to finish, returns nothing and changes nothing."""
    with TemporaryDirectory() as folder, generator_untouched("the observer"):
        _watch(subject.make(), Path(folder))
    return None


def check_independent(subject: Subject) -> str | None:
    """Check that two of them watch two runs at once, and one watches two runs in turn."""
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        one, other = subject.make(), subject.make()
        one.started(Path(first), _record())
        _watch(other, Path(second))
        one.step(1, 1, {"loss": 1.0})
        one.finished(Path(first))
        _watch(other, Path(first))
    return None


CHECKS = (check_lifecycle, check_independent)

"""Locks: every fact that decides the bytes of a result, kept in a file and compared."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel

from kernel.errors import Difference, InputError, UsageError
from kernel.record import read_as
from kernel.repeat import Record

__all__ = ["Difference", "Lock", "differences", "lock_path", "read_lock"]

ELSEWHERE = {"plugins", "without", "options", "prefer", "model", "inputs", "precision"}
"""Settings that a lock holds as its parts."""

IDLE = {
    *("out", "name", "device", "workers", "shard", "checkpoint_every", "keep", "snapshot_every"),
    *("validate_every", "validate_items", "sample_every", "sample_count", "sample_inputs"),
}
"""Settings that change no byte of the result."""


class Lock(BaseModel, frozen=True, extra="forbid"):
    """Everything that decides a result; paths, times and the machine's name are no part of it.

    parts: by subject and aspect, such as `solver.unipc@kernel-audio-plugins` and `version`.
    """

    format: Literal[1] = 1
    kernel: dict[str, str | None]
    parts: dict[str, dict[str, Any]]
    settings: dict[str, Any]

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the lock of a record."""
        parts: dict[str, dict[str, Any]] = {"the network": {"precision": record.precision}}
        for name, version in record.versions.items():
            if name != "kernel-audio":
                parts[name] = {"version": version}
        for name, each in record.inputs.items():
            if name != "model":
                parts[name] = {"content": each.hash}
        for plugin in record.plugins:
            options = {
                f"option {name}": value
                for name, value in plugin.options.items()
                if f"{plugin.spelling}.{name}" not in record.inputs
            }
            parts[plugin.qualified] = {"version": plugin.version, "hash": plugin.hash, **options}
        if model := record.model:
            # The path of a folder says nothing that its hash does not say better.
            subject = model.qualified if model.distribution else "model"
            parts[subject] = {"version": model.version, "hash": model.hash}
        return cls(
            kernel=record.kernel,
            parts=parts,
            settings={k: v for k, v in record.settings.items() if k not in ELSEWHERE | IDLE},
        )

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return every value by subject and aspect; the subject of settings is empty."""
        return {"": self.settings, "kernel-audio": self.kernel, **self.parts}


def differences(recorded: Lock, now: Lock) -> list[Difference]:
    """Return all differences, sorted; one that several components share is listed once."""
    old, new = recorded.facts(), now.facts()
    found = [Difference(each, "present", "absent", True) for each in sorted(old.keys() - new)]
    found += [Difference(each, "absent", "present", True) for each in sorted(new.keys() - old)]
    grouped: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for subject in sorted(old.keys() & new):
        was, now_is = old[subject], new[subject]
        for aspect in sorted(was.keys() | now_is):
            if was.get(aspect) != now_is.get(aspect):
                key = (aspect, _text(was.get(aspect)), _text(now_is.get(aspect)))
                grouped[key].append(subject)
    for (aspect, was_text, is_text), subjects in grouped.items():
        shared = ", ".join(subjects)
        what = f"{aspect} of {shared}" if shared else aspect
        chosen = not shared or aspect.startswith("option ")
        found.append(Difference(what, was_text, is_text, chosen))
    return found


def lock_path(config: Path) -> Path:
    """Return the path of a configuration's lock. Raises UsageError for a path that is a lock."""
    if config.suffix == ".lock":
        raise UsageError(f"{config} is a lock; name its configuration")
    return config.with_suffix(".lock")


def read_lock(config: Path, remedy: str) -> Lock:
    """Return the lock of a configuration. Raises InputError when it is missing or damaged."""
    path = lock_path(config)
    try:
        return read_as(Lock, path)
    except ValueError as error:
        raise InputError(f"lock {path} cannot be read ({error}); {remedy}") from None


def _text(value: Any) -> str:
    """Return a value for people, a hash by its first digits."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[: text.index(":") + 13] if "sha256:" in text[:13] else text

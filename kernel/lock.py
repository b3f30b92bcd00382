"""What decides the bytes of a result, noted in a form that can be kept and compared."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any, Literal, Self

import attrs
from pydantic import BaseModel, ConfigDict, ValidationError

from kernel.errors import InputError, UsageError
from kernel.repeat import Record, RecordedModel, RecordedPlugin

__all__ = ["Difference", "Lock", "differences", "lock_path", "read_lock"]

ELSEWHERE = {"plugins", "without", "options", "prefer", "model", "inputs", "precision"}
"""Settings whose outcome a lock notes in a place of its own."""

IDLE = {"out", "name", "device", "checkpoint_every", "keep"}
"""Settings that change where the result goes or how it is come by, and not what it is."""


class Lock(BaseModel):
    """Everything that decides a result; paths, times and the machine's name are no part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    kernel: dict[Literal["version", "hash"], str | None]
    versions: dict[str, str]
    plugins: tuple[RecordedPlugin, ...]
    model: RecordedModel | None = None
    inputs: dict[str, str | None]
    precision: str
    settings: dict[str, Any]

    @classmethod
    def of(cls, record: Record) -> Self:
        """Return the lock of what a record says."""
        model = record.model
        if model is not None and model.distribution is None:
            # The path of a folder says nothing that its hash does not say better.
            model = model.model_copy(update={"name": "folder"})
        return cls(
            kernel={"version": record.kernel.version, "hash": record.kernel.hash},
            versions={k: v for k, v in record.versions.items() if k != "kernel-audio"},
            plugins=tuple(_without_paths(plugin, record) for plugin in record.plugins),
            model=model,
            inputs={key: each.hash for key, each in record.inputs.items() if key != "model"},
            precision=record.device.precision,
            settings={k: v for k, v in record.settings.items() if k not in ELSEWHERE | IDLE},
        )

    def facts(self) -> dict[tuple[str, str], Any]:
        """Return every value by what it is of and what it says of it; choices are of nothing."""
        facts: dict[tuple[str, str], Any] = {("the network", "precision"): self.precision}
        facts |= {("kernel-audio", aspect): value for aspect, value in self.kernel.items()}
        facts |= {(name, "version"): value for name, value in self.versions.items()}
        facts |= {(name, "content"): value for name, value in self.inputs.items()}
        facts |= {("", name): value for name, value in self.settings.items()}
        for each in self.plugins:
            facts[each.qualified, "version"] = each.version
            facts[each.qualified, "hash"] = each.hash
            facts |= {(each.qualified, f"option {k}"): v for k, v in each.options.items()}
        if self.model is not None:
            owner = self.model.distribution
            subject = f"model.{self.model.name}@{owner}" if owner else "model"
            facts |= {(subject, "version"): self.model.version, (subject, "hash"): self.model.hash}
        return facts


@attrs.frozen
class Difference:
    """One thing that is not what it was; `chosen` when it is a setting, an option or a part."""

    what: str
    recorded: str
    now: str
    chosen: bool


def differences(recorded: Lock, now: Lock) -> list[Difference]:
    """Return everything that differs, sorted; what several components share is said once."""
    old, new = recorded.facts(), now.facts()
    before, after = ({subject for subject, _ in facts} for facts in (old, new))
    gone = [Difference(subject, "present", "absent", True) for subject in sorted(before - after)]
    come = [Difference(subject, "absent", "present", True) for subject in sorted(after - before)]
    found = gone + come
    grouped: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for subject, aspect in sorted({*old, *new}):
        was, now_is = old.get((subject, aspect)), new.get((subject, aspect))
        if subject in before & after and was != now_is:
            grouped[aspect, _text(was), _text(now_is)].append(subject)
    for (aspect, was_text, is_text), shared in grouped.items():
        what = f"{aspect} of {', '.join(shared)}" if shared != [""] else aspect
        chosen = shared == [""] or aspect.startswith("option ")
        found.append(Difference(what, was_text, is_text, chosen))
    return found


def lock_path(config: Path) -> Path:
    """Return where the lock of a configuration is. Raises UsageError for the name of a lock."""
    if config.suffix == ".lock":
        raise UsageError(f"{config} is a lock by its name; name the configuration that it is of")
    return config.with_suffix(".lock")


def read_lock(config: Path, remedy: str) -> Lock:
    """Return the lock of a configuration. Raises InputError when it is missing or damaged."""
    path = lock_path(config)
    try:
        return Lock.model_validate(json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        reason = "it does not exist"
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise InputError(f"lock {path} cannot be read ({reason}); {remedy}")


def _without_paths(plugin: RecordedPlugin, record: Record) -> RecordedPlugin:
    """Return the component without the options whose content is among the inputs."""
    options = {
        name: value
        for name, value in plugin.options.items()
        if f"{plugin.spelling}.{name}" not in record.inputs
    }
    return plugin.model_copy(update={"options": options})


def _text(value: Any) -> str:
    """Return a value for people; the first digits of a hash tell it from any other."""
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text[: text.index(":") + 13] if "sha256:" in text[:13] else text

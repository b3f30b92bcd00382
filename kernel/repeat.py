"""Reads the record of a run or a training again, and turns it into the settings of another one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kernel.errors import InputError, PluginError
from kernel.kinds import accumulates
from kernel.registry import Registry

__all__ = ["RUN", "TRAINING", "Record", "RecordedModel", "RecordedPlugin", "read_record", "repeat"]

RUN = "run.json"
TRAINING = "train.json"

NOT_REPEATED = {"plugins", "options", "prefer", "model", "inputs", "out", "name"}
"""Settings that a record holds in a form without doubt, and where the result went."""


class _Recorded(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RecordedPlugin(_Recorded):
    """A component of a run, whose it was, and all of its options."""

    kind: str
    name: str
    distribution: str
    version: str
    hash: str | None
    options: dict[str, Any]

    @property
    def spelling(self) -> str:
        """Return KIND.NAME."""
        return f"{self.kind}.{self.name}"

    @property
    def qualified(self) -> str:
        """Return KIND.NAME@DISTRIBUTION."""
        return f"{self.spelling}@{self.distribution}"


class RecordedModel(_Recorded):
    """The model of a run; one from a folder has no distribution, and its folder is an input."""

    name: str
    distribution: str | None = None
    version: str | None = None
    hash: str


class _Kernel(_Recorded):
    version: str
    hash: str | None


class _Input(_Recorded):
    path: Path
    hash: str | None


class _Device(_Recorded):
    precision: str


class _Sampling(_Recorded):
    steps: int


class Record(_Recorded):
    """What `run.json` and `train.json` say of how the result came about."""

    kernel: _Kernel
    versions: dict[str, str]
    plugins: tuple[RecordedPlugin, ...]
    model: RecordedModel | None = None
    inputs: dict[str, _Input] = Field(description="files and folders by what names them")
    device: _Device
    config: dict[str, Any]
    sampling: _Sampling | None = None
    requirements: tuple[str, ...]

    @property
    def settings(self) -> dict[str, Any]:
        """Return the configuration, with the number of steps that were done."""
        return self.config | ({"steps": self.sampling.steps} if self.sampling else {})


def read_record(folder: Path, *names: str) -> Record:
    """Return the record in a folder, under the first of `names` that is there.

    Raises InputError when there is none or it cannot be read.
    """
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise InputError(
            f"{folder} holds no record to go by ({' or '.join(names)} is missing); name the folder "
            f"of a finished run or training"
        )
    try:
        return Record.model_validate(json.loads(path.read_text("utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = f"{place}: {first['msg']}" if place else first["msg"]
    except (OSError, ValueError) as error:
        reason = str(error)
    raise InputError(
        f"{path} is no record that can be gone by ({reason}); name the folder of another one"
    )


def repeat(
    record: Record, folder: Path, registry: Registry, plugins: Sequence[str], model: str | None
) -> dict[str, Any]:
    """Return the settings that do again what the record in `folder` says.

    plugins: spellings that replace what was recorded of their kinds, or add to the kinds that
    accumulate. model: one to take in place of the recorded one. Raises PluginError for a plugin or
    a model that is not installed any more.
    """
    named = registry.select(plugins)
    kept = [each for each in record.plugins if accumulates(each.kind) or not named.of(each.kind)]
    for each in kept:
        _check(registry, each.qualified, each.version, folder)
    spellings = (*(each.qualified for each in kept), *plugins)
    selection = registry.select(spellings)
    selected = {info.qualified for info in selection.plugins}
    options = {}
    for each in kept:
        if each.qualified in selected and each.options:
            alone = len(selection.of(each.kind)) == 1
            options[each.kind if alone else each.spelling] = {
                name: str(found.path) if (found := _input(record, each, name)) else value
                for name, value in each.options.items()
            }
    settings = {key: value for key, value in record.settings.items() if key not in NOT_REPEATED}
    settings |= {"plugins": spellings, "options": options}
    # What was both named and left out is not among the recorded plugins any more.
    words = record.config.get("plugins", ())
    gone = {info.spelling for word in words for info in registry.find(word)}
    if "without" in settings:
        settings["without"] = [each for each in settings["without"] if each not in gone]
    if record.model is not None:
        settings["model"] = model or _model(record.model, record, registry, folder)
    if "inputs" in record.config:
        files = [key for key in record.inputs if key.startswith("inputs.")]
        files.sort(key=lambda key: (len(key), key))
        settings["inputs"] = [str(record.inputs[key].path) for key in files]
    return settings


def _input(record: Record, plugin: RecordedPlugin, option: str) -> _Input | None:
    return record.inputs.get(f"{plugin.spelling}.{option}")


def _model(model: RecordedModel, record: Record, registry: Registry, folder: Path) -> str:
    if model.distribution is None:
        return str(record.inputs["model"].path if "model" in record.inputs else model.name)
    spelling = f"{model.name}@{model.distribution}"
    _check(registry, f"model.{spelling}", model.version, folder)
    return spelling


def _check(registry: Registry, spelling: str, version: str | None, folder: Path) -> None:
    if not registry.find(spelling):
        what, _, distribution = spelling.partition("@")
        raise PluginError(
            f"{folder} was made with {what} of {distribution} {version}, which is not installed; "
            f"`kernel plugins --requirements --from {folder}` says what to install, or name "
            f"another in its place"
        )

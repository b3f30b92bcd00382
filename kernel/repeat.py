"""Records of runs and trainings: read, and turned into the settings of a repetition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import AliasPath, BaseModel, Field

from kernel.errors import InputError, PluginError
from kernel.kinds import accumulates
from kernel.record import read_as
from kernel.registry import Registry

__all__ = ["RUN", "TRAINING", "Record", "read_record", "repeat"]

RUN = "run.json"
TRAINING = "train.json"

NOT_REPEATED = {"plugins", "options", "prefer", "model", "inputs", "out", "name"}
"""Settings that a record holds elsewhere, without doubt, and the place of the result."""


class _Model(BaseModel, frozen=True):
    """The model of a run; one from a folder has no distribution, and its folder is an input."""

    kind: str = "model"
    name: str
    distribution: str | None = None
    version: str | None = None
    hash: str | None

    @property
    def spelling(self) -> str:
        """Return KIND.NAME."""
        return f"{self.kind}.{self.name}"

    @property
    def qualified(self) -> str:
        """Return KIND.NAME@DISTRIBUTION."""
        return f"{self.spelling}@{self.distribution}"


class _Plugin(_Model):
    """A component of a run, whose it was, and all of its options."""

    kind: str
    distribution: str
    version: str
    options: dict[str, Any]


class _Input(BaseModel, frozen=True):
    path: Path
    hash: str | None


class Record(BaseModel, frozen=True):
    """The part of `run.json` and `train.json` that says how the result was made."""

    folder: Path = Path()
    kernel: dict[str, str | None]
    versions: dict[str, str]
    plugins: tuple[_Plugin, ...]
    model: _Model | None = None
    inputs: dict[str, _Input] = Field(description="files and folders by what names them")
    precision: str = Field(validation_alias=AliasPath("device", "precision"))
    config: dict[str, Any]
    steps: int | None = Field(None, validation_alias=AliasPath("sampling", "steps"))
    requirements: tuple[str, ...]
    fitted: dict[str, dict[str, Any]] = Field({}, description="options that a data set decided")
    segments: tuple[Record, ...] = Field(
        (), description="a training's earlier parts, which were done with something else"
    )

    @property
    def settings(self) -> dict[str, Any]:
        """Return the configuration with the number of steps that the solver took."""
        return self.config | ({"steps": self.steps} if self.steps else {})


def read_record(folder: Path, *names: str) -> Record:
    """Return the record in a folder, under the first of `names` that is there.

    Raises InputError when the record is missing or damaged.
    """
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise InputError(
            f"{folder} holds no {' or '.join(names)}; name the folder of a run or of a training"
        )
    try:
        return read_as(Record, path).model_copy(update={"folder": folder})
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}); name the folder of another run or training"
        ) from None


def repeat(
    record: Record, registry: Registry, plugins: Sequence[str], model: str | None
) -> dict[str, Any]:
    """Return the settings that repeat a record.

    plugins: spellings that replace recorded plugins of their kinds, or add to kinds that
    accumulate. model: replaces the recorded model. Raises PluginError for a plugin or a model that
    is no longer installed.
    """
    named = registry.select(plugins)
    kept = [each for each in record.plugins if accumulates(each.kind) or not named.of(each.kind)]
    installed = [_installed(each, registry, record.folder) for each in kept]
    spellings = (*installed, *plugins)
    selection = registry.select(spellings)
    selected = {info.qualified for info in selection.plugins}
    paths = {name: str(each.path) for name, each in record.inputs.items()}
    options = {}
    for each in kept:
        if each.qualified in selected and each.options:
            alone = len(selection.of(each.kind)) == 1
            options[each.kind if alone else each.spelling] = {
                name: paths.get(f"{each.spelling}.{name}", value)
                for name, value in each.options.items()
            }
    settings = {key: value for key, value in record.settings.items() if key not in NOT_REPEATED}
    settings |= {"plugins": spellings, "options": options}
    # A plugin that was both named and left out is not among the recorded plugins.
    words = record.config.get("plugins", ())
    gone = {info.spelling for word in words for info in registry.find(word)}
    if "without" in settings:
        settings["without"] = [each for each in settings["without"] if each not in gone]
    if own := record.model:
        settings["model"] = model or (
            _installed(own, registry, record.folder).removeprefix("model.")
            if own.distribution
            else paths.get("model", own.name)
        )
    # The folder of a model may have been named from elsewhere.
    if "/" in str(record.config.get("init")):
        settings["init"] = paths["init"]
    # A training has no such setting.
    if "inputs" in record.config:
        files = [key for key in paths if key.startswith("inputs.")]
        settings["inputs"] = [paths[key] for key in sorted(files, key=lambda key: (len(key), key))]
    return settings


def _installed(recorded: _Model, registry: Registry, folder: Path) -> str:
    """Return the qualified name of a plugin or a model. Raises PluginError when it is gone."""
    if not registry.find(recorded.qualified):
        raise PluginError(
            f"{folder} was made with {recorded.spelling} of {recorded.distribution} "
            f"{recorded.version}, which is not installed; "
            f"`kernel plugins --requirements --from {folder}` says what to install, or name "
            f"a replacement with --plugins"
        )
    return recorded.qualified

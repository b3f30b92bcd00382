"""The project of a model pack: trained weights, their manifest, and what they require."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from kernel.errors import InputError, UsageError
from kernel.kinds import run_kinds
from kernel.kinds.model import Manifest
from kernel.models import CODEC, FOLDER, MANIFEST, WEIGHTS, find_pack
from kernel.registry import Registry
from kernel.repeat import TRAINING
from kernel_audio_testing.projects._names import Names
from kernel_audio_testing.projects._project import Project
from kernel_audio_testing.projects._weights import read_weights

__all__ = ["pack_project"]

Owners = dict[tuple[str, str], tuple[str, str]]
"""Kind and name of a component to its distribution and the version of that."""

ABOUT = """\
| | |
|---|---|
| licence of the weights | {licence} |
| attribution | {attribution} |
| trained values | {parameters:,} |
| components | {components} |

There is no code in `{package}`: `{manifest}` says what the model is, `{weights}` holds its weights.
`tox` checks that they fit each other and make a sound; `pip wheel --no-deps .` makes the file that
others install, and what the model requires comes along.
"""


def pack_project(
    names: Names,
    folder: Path,
    registry: Registry,
    licence: str | None = None,
    attribution: str | None = None,
    whole: bool = False,
) -> Project:
    """Return a project with the model that a training left in `folder`, or that lies in `folder`.

    licence, attribution: what is said of the weights, by default what the manifest says. whole:
    take the weights of the codec out of the pack that the network was trained with, so that nobody
    needs that. Raises InputError for a folder without a whole model or another codec's weights,
    UsageError when nothing says a licence, when no solver or schedule is recommended, or when
    nobody offers a component that the model needs.
    """
    place, owners = _read(folder)
    manifest = find_pack(registry, place).manifest
    changes = {"licence": licence, "attribution": attribution}
    manifest = manifest.model_copy(update={key: text for key, text in changes.items() if text})
    if not manifest.licence.strip():
        raise UsageError(
            f"{place / MANIFEST} names no licence for the weights, and without one nobody may use "
            "them; add --licence, e.g. --licence CC-BY-4.0"
        )
    for kind in ("schedule", "solver"):
        if manifest.network and kind not in manifest.plugins:
            raise UsageError(
                f"{place / MANIFEST} recommends no {kind}, so that nobody could play the model by "
                f'its name alone; add a line {kind} = "NAME" under [plugins]'
            )
    files = {
        name: read_weights(place / name) for name in (WEIGHTS, CODEC) if (place / name).is_file()
    }
    told: Mapping[Any, str] = manifest.trained.codec
    if whole and CODEC not in files:
        files[CODEC] = _codec_weights(told, registry)
        codec = {key: given for key, given in manifest.options["codec"].items() if key != "pack"}
        manifest = manifest.model_copy(update={"options": manifest.options | {"codec": codec}})
    needed = {told["distribution"]: told["version"]} if told and CODEC not in files else {}
    described = manifest.description or "A trained model for kernel-audio."
    return Project(
        names,
        title=manifest.title,
        description=_line(described),
        about=_about(names, manifest),
        check=f"model.{names.name}",
        play=f"kernel run --model {names.name}" if manifest.network else _train(names, manifest),
        entries={f"model.{names.name}": names.package},
        files={MANIFEST: manifest.toml().encode(), **files},
        requires=_requirements(manifest, owners, registry, needed),
        licence=_line(manifest.licence),
    )


def _read(folder: Path) -> tuple[Path, Owners]:
    """Return the folder of the model, and whose its components were where a training says so."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; name a training, or a folder with a model")
    training = folder.parent if folder.name == FOLDER else folder
    record = training / TRAINING
    if not record.is_file():
        return folder, {}
    if not (training / FOLDER).is_dir():
        raise InputError(
            f"the training in {training} has left no model yet; "
            f"go on with `kernel train --resume {training}`"
        )
    try:
        return training / FOLDER, {
            (entry["kind"], entry["name"]): (entry["distribution"], entry["version"])
            for entry in json.loads(record.read_text("utf-8"))["plugins"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{record} does not say what the model was trained with "
            f"({type(error).__name__}: {error}); remove it to take what is installed now"
        ) from None


def _codec_weights(told: Mapping[Any, str], registry: Registry) -> bytes:
    """Return the weights of the codec that a network was trained with.

    Raises UsageError where there are none and InputError for those of another training.
    """
    if not told:
        raise UsageError("the model has no codec with weights of its own; leave --whole out")
    pack = find_pack(registry, f"{told['name']}@{told['distribution']}")
    if pack.codec_heritage["hash"] != told["hash"]:
        raise InputError(
            f"the codec weights of model {pack.name} are not those that the network was trained "
            f"with; `pip install {told['distribution']}=={told['version']}` brings these"
        )
    return read_weights(pack.codec)


def _train(names: Names, manifest: Manifest) -> str:
    codec = manifest.plugins["codec"]
    return f"kernel train --plugins edm,dit,labelled,unipc,codec.{codec} -o codec.pack={names.name}"


def _requirements(
    manifest: Manifest, owners: Owners, registry: Registry, needed: Mapping[str, str]
) -> tuple[str, ...]:
    """Return a requirement for each distribution that a component of a run comes from, sorted.

    needed: versions of further distributions.

    The components may be newer than they were in training, but not older.
    """
    found = {name: name + _at_least(version) for name, version in needed.items()}
    for kind, name in manifest.components:
        if kind not in run_kinds():
            continue
        if (kind, name) in owners:
            distribution, version = owners[kind, name]
        else:
            info = registry.pick(f"{kind}.{name}", kind)
            distribution, version = info.distribution, info.version
        found[distribution] = distribution + _at_least(version)
    return tuple(found[distribution] for distribution in sorted(found))


def _at_least(version: str) -> str:
    """Return what is asked of a version; a local one, the part after +, cannot be asked for."""
    try:
        return f">={Version(version).public}"
    except InvalidVersion:
        return ""


def _about(names: Names, manifest: Manifest) -> str:
    return ABOUT.format(
        licence=_line(manifest.licence),
        attribution=_line(manifest.attribution) or "none",
        parameters=manifest.parameters,
        components=", ".join(f"{kind}.{name}" for kind, name in manifest.components),
        package=names.package,
        manifest=MANIFEST,
        weights=WEIGHTS if manifest.network else CODEC,
    )


def _line(text: str) -> str:
    return " ".join(text.split())

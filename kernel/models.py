"""Model packs: folders of data, installed like plugins, as `kernel.kinds.model` says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import attrs

from kernel.errors import InputError, KernelError, PluginError
from kernel.kinds import model_kinds
from kernel.kinds.model import Manifest
from kernel.provenance import content_hash, folder_hash, origin
from kernel.record import read_as
from kernel.registry import PluginInfo, Registry, Selection, locate
from kernel.tensors import load_weights
from kernel.values import ConditionSpec

__all__ = ["CODEC", "FOLDER", "MANIFEST", "WEIGHTS", "ModelPack", "find_pack", "survey"]

FOLDER = "model"
"""Where a training leaves its model."""

MANIFEST = "model.toml"
WEIGHTS = "model.safetensors"
CODEC = "codec.safetensors"


@attrs.frozen
class ModelPack:
    """A model's manifest and its folder; `info` is None for a folder that is not installed."""

    info: PluginInfo | None
    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Return the name of the entry point, or the path of a folder that is not installed."""
        return self.info.name if self.info else str(self.folder)

    @property
    def weights(self) -> Path:
        """Return the path of the weights of the network."""
        return self.folder / WEIGHTS

    @property
    def codec(self) -> Path:
        """Return the path of the weights of a trained codec, where the pack has them."""
        return self.folder / CODEC

    @property
    def condition(self) -> ConditionSpec:
        """Return how wide the parts of the condition are that the network takes."""
        return ConditionSpec(**self.manifest.trained.condition)

    def strangers(self, selection: Selection) -> list[PluginInfo]:
        """Return what was selected in place of something that the weights were trained with."""
        trained = self.manifest.plugins
        every = (info for kind in model_kinds() for info in selection.of(kind))
        return [info for info in every if info.name != trained.get(info.kind)]

    def load(self, network: Any) -> None:
        """Load the weights into a network, a module. Raises InputError when they do not fit."""
        load_weights(network, self.weights, f"model {self.name}")

    @property
    def heritage(self) -> dict[str, str]:
        """Return what a model says of this one that was trained from it; never a path."""
        known = self.describe() | ({} if self.info else {"name": self.manifest.title})
        told = ("name", "distribution", "version", "hash")
        return {key: known[key] for key in told if key in known}

    @property
    def codec_heritage(self) -> dict[str, str]:
        """Return what a model says of the weights of this pack's codec."""
        return self.heritage | {"hash": str(content_hash(self.codec))}

    def describe(self) -> dict[str, Any]:
        """Return what `run.json` says of the model: whose it is, its licence, its content hash."""
        return {
            "name": self.name,
            **(origin(self.info) if self.info else {}),
            "hash": folder_hash(self.folder),
            **self.manifest.model_dump(include={"title", "licence", "attribution"}),
        }


def survey(registry: Registry) -> tuple[list[ModelPack], list[str]]:
    """Return the installed packs that are whole, and one sentence for each that is not.

    Where two distributions offer a model of the same name, a preference leaves only the one.
    """
    whole: list[ModelPack] = []
    broken: list[str] = []
    for info in registry.plugins:
        preferred = registry.prefer.get(info.spelling, info.distribution)
        if info.kind == "model" and preferred == info.distribution:
            try:
                whole.append(_installed(info, registry))
            except KernelError as error:
                broken.append(str(error))
    return whole, broken


def find_pack(registry: Registry, name: str | Path) -> ModelPack:
    """Return the pack `NAME[@DISTRIBUTION]`, or that in a folder; an installed name comes first.

    Raises UsageError for a name that is unknown or ambiguous, PluginError for an installed pack
    that is broken, InputError for a folder that holds no model.
    """
    path = Path(name)
    is_path = isinstance(name, Path) or "/" in name or len(path.parts) > 1
    try:
        there = path.is_dir()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"model {str(name)[:60]!r} cannot be read: {reason}; check it") from None
    if is_path or (there and not registry.find(str(name), "model")):
        return ModelPack(None, path, _read(path, f"model {name}", InputError))
    return _installed(registry.pick(str(name), "model"), registry)


def _installed(info: PluginInfo, registry: Registry) -> ModelPack:
    what = f"model {info.name} of {info.distribution} {info.version}"
    folder = locate(info.target)
    if folder is None or not folder.is_dir():
        raise PluginError(
            f"{what} cannot be used: there is no folder {info.target}; "
            f"reinstall {info.distribution}"
        )
    manifest = _read(folder, what, PluginError)
    named = {f"{kind}.{name}" for kind, name in manifest.components} | manifest.options.keys()
    own = {
        each.spelling: each.distribution
        for each in registry.plugins
        if each.distribution == info.distribution and each.spelling in named
    }
    manifest = manifest.model_copy(update={"distributions": own | manifest.distributions})
    return ModelPack(info, folder, manifest)


def _read(folder: Path, what: str, error: type[KernelError]) -> Manifest:
    """Return the manifest in `folder`; raise `error` when it is wrong or the weights are gone."""
    fix = "reinstall it" if error is PluginError else "train it again or get the whole folder"
    if not (folder / MANIFEST).is_file():
        raise error(f"{what} cannot be used: {folder / MANIFEST} is missing; {fix}")
    try:
        manifest = read_as(Manifest, folder / MANIFEST, tomllib.loads)
        weights = folder / (WEIGHTS if manifest.network else CODEC)
        if weights.is_file():
            return manifest
        problem = f"{weights} is missing"
    except ValueError as reason:
        if str(reason).startswith("format:"):
            fix = "it was made for a newer kernel-audio, so upgrade kernel-audio"
        problem = f"{folder / MANIFEST} is not a manifest ({reason})"
    raise error(f"{what} cannot be used: {problem}; {fix}")

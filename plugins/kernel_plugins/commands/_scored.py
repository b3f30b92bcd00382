"""Scores the sounds in files, alone or against references of the same names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import soundfile
import torch

from kernel.assembly import Assembly, assemble
from kernel.audio import read_audio
from kernel.config import Settings, load
from kernel.errors import InputError, UsageError
from kernel.registry import Registry, Selection
from kernel.runner.device import Machine
from kernel.runner.encoders import encoders
from kernel.runner.evaluation import Evaluation
from kernel.runner.libraries import check_pair
from kernel.values import AudioSpec


def sound_files(place: Path) -> list[Path]:
    """Return `place` when it is a file, else the sounds in the folder, sorted by name.

    Raises InputError when there are none.
    """
    if place.is_file():
        return [place]
    known = {f".{name.lower()}" for name in soundfile.available_formats()}
    found = sorted(path for path in place.glob("*") if path.suffix.lower() in known)
    if not found:
        raise InputError(f"there is no sound in {place}; name a folder of sounds, or one file")
    return found


def evaluated(
    sounds: str | Path,
    plugins: Sequence[str],
    *,
    reference: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Return the scores of every sound in a folder, or of one file, and their summary.

    plugins: metrics. reference: a folder of reference sounds with the same names, or a file for a
    file. options: `KIND.OPTION` to a value. settings: fields of Settings. Raises KernelError.
    """
    config = load(Settings, None, {"plugins": tuple(plugins), **settings}, options)
    registry = (registry or Registry.scan()).preferring(config.prefer)
    picked = tuple(dict.fromkeys(registry.pick(name, "metric") for name in plugins))
    kinds = ("encoder", "metric")
    assembly, _ = assemble(registry, Selection(picked), kinds, config.options)
    check_pair()
    return _scored(config, assembly, Path(sounds), None if reference is None else Path(reference))


def _scored(
    settings: Settings, assembly: Assembly, sounds: Path, references: Path | None
) -> dict[str, Any]:
    """Return the record of an evaluation.

    A reference is brought to the rate and channels of the sounds. Metrics that compare pairs find
    it by its sound's name, but for the suffix; metrics that compare sets take all references.
    Raises InputError for a file that cannot be read, lacks a reference or differs in length.
    """
    machine = Machine.choose(settings)
    files = sound_files(sounds)
    assembly.check(frozenset({"reference", "references"} if references else ()))
    wanted = frozenset[str]().union(*(each.needs for each in assembly.metrics.values()))
    paired = references if "reference" in wanted else None
    pairs = list(zip(files, _partners(files, sounds, paired), strict=True))
    first, rate = read_audio(files[0])
    spec = AudioSpec(rate, len(first))
    evaluation = Evaluation(assembly.metrics, spec, machine, encoders(assembly, machine))
    if references is not None and "references" in wanted:
        for path in sound_files(references):
            evaluation.refer(read_audio(path, spec.sample_rate, spec.channels)[0])
    items = []
    for path, partner in pairs:
        audio = _read(path, spec, files[0])
        reference = None if partner is None else _aligned(partner, path, audio.shape[-1], spec)
        items.append({"file": path.name, "scores": evaluation.add(path.name, audio, reference)})
    return {
        "sounds": len(items),
        "sample_rate": spec.sample_rate,
        "channels": spec.channels,
        "scores": evaluation.summary(),
        "items": items,
        "warnings": evaluation.notes,
    }


def _partners(
    files: Sequence[Path], sounds: Path, references: Path | None
) -> Sequence[Path | None]:
    if references is None:
        return [None] * len(files)
    found = sound_files(references)
    if sounds.is_file():
        if len(found) != 1 or not references.is_file():
            raise UsageError(f"{sounds} is a file, so that --reference has to be one file too")
        return found
    by_stem = {path.stem: path for path in found}
    missing = [path.name for path in files if path.stem not in by_stem]
    if missing:
        raise InputError(
            f"{references} has no reference for {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            + "; a reference has the name of its sound"
        )
    return [by_stem[path.stem] for path in files]


def _read(path: Path, spec: AudioSpec, first: Path) -> Any:
    audio, rate = read_audio(path)
    if (rate, len(audio)) != (spec.sample_rate, spec.channels):
        raise InputError(
            f"{path} has {rate} Hz and {len(audio)} channels, but {first.name} has "
            f"{spec.sample_rate} Hz and {spec.channels}; evaluate them separately"
        )
    return audio


def _aligned(path: Path, sound: Path, length: int, spec: AudioSpec) -> Any:
    audio, _ = read_audio(path, spec.sample_rate, spec.channels)
    # Resampling may round the length up by one.
    if abs(audio.shape[-1] - length) > 1:
        raise InputError(
            f"{path} is {audio.shape[-1] / spec.sample_rate:.3f} s long and {sound} "
            f"{length / spec.sample_rate:.3f} s; cut them to the same part"
        )
    return torch.nn.functional.pad(audio, (0, length - audio.shape[-1]))

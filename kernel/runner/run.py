"""A whole run: from a plan to a folder with sounds, pictures, a page and a record."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernel.audio import resample, write_audio
from kernel.errors import OutputError
from kernel.files import staged
from kernel.models import find_pack
from kernel.report import spectrogram_sheet, write_json, write_page
from kernel.runner.device import Machine
from kernel.runner.evaluation import Evaluation
from kernel.runner.sampling import Sampler, Sound

if TYPE_CHECKING:
    from kernel.config import RunConfig
    from kernel.kinds.observer import Observer
    from kernel.runner.plan import Plan

__all__ = ["execute", "folder_for"]


def folder_for(config: RunConfig, plan: Plan) -> Path:
    """Return the folder that the run will make. Raises OutputError when it is there already."""
    if config.name is not None:
        folder = config.out / config.name
        if folder.exists():
            raise OutputError(f"{folder} exists already; choose another --name or remove it first")
        return folder
    stem = "-".join(info.split("@")[0].rpartition(".")[2] for info in config.plugins) or "run"
    taken = {path.name for path in config.out.iterdir()} if config.out.is_dir() else set()
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return config.out / f"{stem}-{number}"


def execute(
    config: RunConfig, plan: Plan, folder: Path, observers: Sequence[Observer] = ()
) -> dict[str, Any]:
    """Make the sounds of `plan` into `folder`, which appears whole or not at all.

    Returns the record that `run.json` holds.
    """
    machine = Machine.choose(config, config.cuda_graph)
    assembly = plan.assembly
    count = config.count or assembly.task.usual_count(config.inputs)
    requests = assembly.task.requests(config.inputs, count)
    began = time.monotonic()
    with staged(folder) as stage:
        record = {
            "name": folder.name,
            "command": sys.argv[1:],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "warnings": list(plan.notes),
            **plan.facts(config, machine),
        }
        for observer in observers:
            observer.started(stage, record)
        sampler = Sampler.of(assembly, plan.model, machine, observers, plan.companion)
        evaluation = Evaluation(assembly.metrics, assembly.task.audio, machine)
        rate = assembly.task.audio.sample_rate
        items: list[dict[str, Any]] = []
        heard: list[Any] = []
        given: list[Any] = []
        started = time.monotonic()
        for sound in sampler.sounds(requests, plan.steps, config.seed, config.batch, config.noise):
            request, own = sound.request, sound.request.sample_rate or rate
            gain = write_audio(stage / f"{request.name}.wav", sound.audio, own, request.subtype)
            if request.given is not None:
                before = stage / f"{request.name}-given.wav"
                write_audio(before, request.given, own, request.subtype)
            compared = resample(sound.audio, own, rate)
            scores = evaluation.add(request.name, compared, request.reference)
            items.append(_item(sound, own, gain, config.seed, scores))
            heard.append(sound.audio.numpy())
            given.append(None if request.given is None else request.given.numpy())
        record["items"] = items
        others = [find_pack(plan.registry, name).describe() for name in sampler.companions]
        record["companions"] = others
        record["scores"] = evaluation.summary()
        record["warnings"] += evaluation.notes
        record["sampling"] = {
            "steps": plan.steps,
            "nfe": sampler.evaluations,
            "gradients": sampler.gradients,
            "network_items": sampler.network_items,
            "seed": config.seed,
            "count": len(items),
            "batch": config.batch,
            "sample_rate": rate,
            "seconds": round(time.monotonic() - started, 3),
        }
        spectrogram_sheet(stage / "spectrograms.png", record, heard, given)
        record["seconds"] = round(time.monotonic() - began, 3)
        write_json(stage / "run.json", record)
        write_page(stage / "index.html", record, heard, given)
    for observer in observers:
        observer.finished(folder)
    return record


def _item(
    sound: Sound, rate: int, gain: float, seed: int, scores: Mapping[str, float | None]
) -> dict[str, Any]:
    return {
        "name": sound.request.name,
        "file": f"{sound.request.name}.wav",
        "given": None if sound.request.given is None else f"{sound.request.name}-given.wav",
        "spans": [list(span) for span in sound.request.spans],
        "sample_rate": rate,
        "label": sound.request.label,
        "seconds": round(sound.audio.shape[-1] / rate, 4),
        "gain": gain,
        "seed": [seed, sound.index],
        "scores": dict(scores),
    }

"""A whole run: from a plan to a folder with sounds and a record."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kernel.audio import resample, write_audio
from kernel.config import RunConfig
from kernel.errors import OutputError
from kernel.files import numbered, staged
from kernel.items import Request
from kernel.kinds.observer import Observer
from kernel.models import find_pack
from kernel.record import write_json
from kernel.runner.device import Machine
from kernel.runner.evaluation import Evaluation
from kernel.runner.locked import check_alike
from kernel.runner.plan import Plan
from kernel.runner.processes import ALONE, Processes
from kernel.runner.sampling import Sampler
from kernel.runner.scheduling import Answer, each
from kernel.runner.sharing import gathered, owner
from kernel.values import Sound


@contextmanager
def folder_for(config: RunConfig) -> Iterator[Path]:
    """Yield the folder that the run will make, of which no other run takes the name meanwhile.

    Raises OutputError when a folder that the user named is there already.
    """
    if config.name is not None:
        folder = config.out / config.name
        if folder.exists():
            raise OutputError(f"{folder} exists already; choose another --name or remove it first")
        yield folder
        return
    stem = "-".join(info.split("@")[0].rpartition(".")[2] for info in config.plugins) or "run"
    with numbered(config.out, stem) as folder:
        yield folder


def execute(
    config: RunConfig,
    plan: Plan,
    folder: Path,
    observers: Sequence[Observer] = (),
    tell: Callable[[str | None], object] = lambda said: None,
    processes: Processes = ALONE,
) -> dict[str, Any]:
    """Make the sounds of `plan` into `folder`, which appears whole or not at all.

    Returns the record that `run.json` holds. `tell` is called with the last words of each
    observer. However many sounds there are, the run holds those of one batch. Of several processes
    this is the first; the others `assist`.
    """
    machine, requests, batch = _begun(config, plan, processes)
    assembly = plan.assembly
    began = time.monotonic()
    with staged(folder) as stage:
        record = {
            "name": folder.name,
            "command": sys.argv[1:],
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "warnings": list(plan.notes),
            **plan.facts(config, machine),
        }
        check_alike(record, processes)
        for observer in observers:
            observer.started(stage, record)
        sampler = Sampler.of(assembly, plan.model, machine, observers, plan.companion)
        evaluation = Evaluation(assembly.metrics, assembly.task.audio, machine, sampler.encoder)
        rate = assembly.task.audio.sample_rate
        items: list[dict[str, Any]] = []
        started = time.monotonic()
        made = _made(sampler, config, plan, requests, batch, processes)
        for index, sound in each(assembly.task, made):
            entry = write_sound(stage, sound) | {"seed": [config.seed, index]}
            compared = resample(sound.audio, sound.sample_rate, rate)
            entry["scores"] = dict(evaluation.add(sound.name, compared, sound.reference))
            items.append(entry)
            record["warnings"] += [f"{sound.name}: {note}" for note in sound.notes]
            for observer in observers:
                observer.sound(sound, entry)
        record["items"] = items
        names, network_items = _totals(sampler, processes)
        others = [find_pack(plan.registry, name).describe() for name in names]
        record["companions"] = others
        record["scores"] = evaluation.summary()
        record["warnings"] += evaluation.notes
        record["sampling"] = {
            "steps": plan.steps,
            "nfe": sampler.evaluations,
            "gradients": sampler.gradients,
            "network_items": network_items,
            "seed": config.seed,
            "count": len(items),
            "batch": batch,
            "sample_rate": rate,
            "seconds": round(time.monotonic() - started, 3),
        }
        record["seconds"] = round(time.monotonic() - began, 3)
        write_json(stage / "run.json", record)
    for observer in observers:
        tell(observer.finished(folder))
    return record


def assist(config: RunConfig, plan: Plan, processes: Processes) -> None:
    """Make sounds of a run in a process that is not the first, and hand them to that one."""
    machine, requests, batch = _begun(config, plan, processes)
    check_alike(plan.facts(config, machine), processes)
    sampler = Sampler.of(plan.assembly, plan.model, machine, (), plan.companion)
    for _ in _made(sampler, config, plan, requests, batch, processes):
        pass
    told = {"companions": sampler.companions, "network_items": sampler.network_items}
    processes.send(json.dumps(told).encode())


def _begun(
    config: RunConfig, plan: Plan, processes: Processes
) -> tuple[Machine, Sequence[Request], int]:
    """Return the machine, the requests, and how many sounds are made at once."""
    machine = Machine.choose(config, config.cuda_graph, processes)
    task = plan.assembly.task
    requests = task.requests(config.inputs, config.count or task.usual_count(config.inputs))
    share = -(-len(requests) // processes.count)
    return machine, requests, config.batch if processes.count == 1 else min(config.batch, share)


def _made(
    sampler: Sampler,
    config: RunConfig,
    plan: Plan,
    requests: Sequence[Request],
    batch: int,
    processes: Processes,
) -> Iterator[Answer]:
    """Yield the answers to requests, in the first process those of all."""
    count = len(requests)
    indices = [index for index in range(count) if owner(index, batch, processes) == processes.rank]
    own = sampler.answers(requests, plan.steps, config.seed, batch, indices)
    return gathered(own, count, batch, processes)


def _totals(sampler: Sampler, processes: Processes) -> tuple[list[str], int]:
    """Return the other models that were asked for, and the items that networks were called with."""
    names, items = set(sampler.companions), sampler.network_items
    for rank in range(1, processes.count):
        told = json.loads(processes.receive(rank))
        names |= set(told["companions"])
        items += told["network_items"]
    return sorted(names), items


def write_sound(folder: Path, sound: Sound) -> dict[str, Any]:
    """Write a sound and its given recording into a folder; return its entry in the record."""
    rate, file, before = sound.sample_rate, f"{sound.name}.wav", f"{sound.name}-given.wav"
    gain = write_audio(folder / file, sound.audio, rate, sound.subtype)
    entry: dict[str, Any] = {
        "name": sound.name,
        "file": file,
        "given": None,
        "spans": [list(span) for span in sound.spans],
        "sample_rate": rate,
        "label": sound.text,
        "seconds": round(sound.audio.shape[-1] / rate, 4),
        "gain": gain,
    }
    if sound.given is not None:
        first, last = _kept(sound, sound.given.shape[-1])
        write_audio(folder / before, sound.given[:, first:last], rate, sound.subtype)
        entry |= {"given": before, "given_part": [first / rate, last / rate]}
    return entry


def _kept(sound: Sound, length: int) -> tuple[int, int]:
    """Return (first, last) of the samples to keep of the recording that a sound was made from.

    A recording is kept whole, unless the spans with as much on either side are less than a third.
    """
    if not sound.spans:
        return 0, length
    moments = [round(moment * sound.sample_rate) for span in sound.spans for moment in span]
    around = max(max(moments) - min(moments), sound.sample_rate)
    first, last = max(min(moments) - around, 0), max(moments) + around
    whole = 3 * (min(last, length) - first) > length
    return (0, length) if whole else (min(first, length - 1), min(last, length))

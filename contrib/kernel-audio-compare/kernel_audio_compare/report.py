"""What became of a grid: one record of every cell, as JSON, CSV and a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import attrs

from kernel.audio import read_audio
from kernel.files import write_atomic
from kernel.record import write_json
from kernel_audio_compare.figures import FEW, front, interval, mel_distance
from kernel_audio_compare.grid import Cell, Grid, Group, Job
from kernel_audio_compare.page import page
from kernel_audio_compare.table import as_csv

__all__ = ["report", "written"]


def written(grid: Grid) -> dict[str, Any]:
    """Write `comparison.json`, `comparison.csv` and `index.html`; return the record."""
    record = report(grid)
    write_json(grid.folder / "comparison.json", record)
    write_atomic(grid.folder / "comparison.csv", as_csv(record).encode())
    write_atomic(grid.folder / "index.html", page(record).encode())
    return record


def report(grid: Grid) -> dict[str, Any]:
    """Return the record of a grid, of the runs that are there.

    name, axes   of the grid; axes: [{name, values}]
    settings     that the cells share
    cells        [{number, name, folder, values, group, status, sentence, ...}]; `status` is
                 done, failed or missing. Of one that is done: steps, nfe, network_items,
                 gradients, seconds, audio_seconds, real_time_factor (seconds of sampling for
                 one of sound), stochastic, device, scores, distance, pareto, items
    scores       [{name, scope, value, low, high, count, higher_is_better}]
    distance     {value, low, high, count} in dB to the converged sounds, or None
    groups       [{number, values, converged, note}]; converged: {name, folder, files, steps, nfe,
                 seconds, within}; `within` is the distance of the same with half of the steps
    warnings     [sentence]
    """
    groups = {group.number: _converged(group) for group in grid.groups}
    cells = [_cell(grid, cell, groups[cell.group]) for cell in grid.cells]
    for group in grid.groups:
        within = (groups[group.number].told or {}).get("within") or 0.0
        members = [each for each in cells if each["group"] == group.number and each["distance"]]
        points = [(each["nfe"], max(each["distance"]["value"], within)) for each in members]
        for each, best in zip(members, front(points), strict=True):
            each["pareto"] = best
    return {
        "name": grid.folder.resolve().name,
        **grid.identity,
        "cells": cells,
        "groups": [
            {
                "number": group.number,
                "values": dict(group.values),
                "converged": groups[group.number].told,
                "note": group.note or groups[group.number].note,
            }
            for group in grid.groups
        ],
        "warnings": [*_warnings(cells), *_shared(cells)],
    }


@attrs.frozen
class _Sounds:
    """The converged sounds of a group in order, with their rate, and what the record says."""

    audio: Sequence[tuple[Any, int]] = ()
    told: Mapping[str, Any] | None = None
    note: str = ""


def _converged(group: Group) -> _Sounds:
    if not group.runs:
        return _Sounds()
    records = [_record(run) for run in group.runs]
    for run, record in zip(group.runs, records, strict=True):
        if record is None:
            why = _sentence(run) or "it is not made yet"
            return _Sounds(note=f"the converged run {run.name} is missing: {why}")
    best, half = (
        [_audio(run, item) for item in told["items"]]
        for run, told in zip(group.runs, records, strict=True)
        if told
    )
    sampling = records[0]["sampling"] if records[0] else {}
    told = {
        "name": group.runs[0].name,
        "steps": sampling["steps"],
        "nfe": sampling["nfe"],
        "seconds": sum(each["sampling"]["seconds"] for each in records if each),
        "within": fmean(_distances(half, best)),
        "folder": f"{group.runs[0].place.name}/{group.runs[0].name}",
        "files": [item["file"] for item in records[0]["items"]] if records[0] else [],
    }
    return _Sounds(best, told)


def _cell(grid: Grid, cell: Cell, converged: _Sounds) -> dict[str, Any]:
    told: dict[str, Any] = {
        "number": cell.number,
        "name": cell.name,
        "folder": cell.folder.relative_to(grid.folder).as_posix(),
        "values": dict(cell.values),
        "group": cell.group,
        "status": "missing",
        "sentence": None,
        "distance": None,
        "pareto": None,
        "scores": [],
    }
    record = _record(cell)
    if record is None:
        why = _sentence(cell)
        return told | ({"status": "failed", "sentence": why} if why else {})
    sampling, items, afterwards = record["sampling"], record["items"], _afterwards(grid, cell)
    audio_seconds = sum(item["seconds"] for item in items)
    names = ("steps", "nfe", "network_items", "gradients", "seconds", "count")
    told |= {name: sampling[name] for name in names}
    told |= {
        "status": "done",
        "audio_seconds": round(audio_seconds, 4),
        "real_time_factor": sampling["seconds"] / audio_seconds if audio_seconds else None,
        "stochastic": cell.stochastic,
        "device": " ".join(filter(None, (record["device"]["device"], record["device"]["name"]))),
        "hashes": {_owner(each): each["hash"] for each in record["plugins"]},
        "scores": [*_scores(record), *_scores(afterwards)],
        "items": [{key: item[key] for key in ("name", "file", "label")} for item in items],
        "notes": [*cell.notes, *afterwards["warnings"]],
    }
    if converged.audio and not cell.stochastic:
        sounds = [_audio(cell, item) for item in items[: len(converged.audio)]]
        told["distance"] = _mean(_distances(sounds, converged.audio))
    return told


def _record(job: Job) -> dict[str, Any] | None:
    try:
        told: dict[str, Any] = json.loads((job.folder / "run.json").read_text("utf-8"))
    except FileNotFoundError:
        return None
    return told


def _sentence(job: Job) -> str:
    """Return why there is no run, "" where it is not made yet."""
    if job.misfit or not job.failed.exists():
        return job.misfit
    return str(json.loads(job.failed.read_text("utf-8"))["sentence"])


def _audio(job: Job, item: Mapping[str, Any]) -> tuple[Any, int]:
    """Return a sound as it was made: a file that was too loud is scaled back up."""
    audio, rate = read_audio(job.folder / item["file"])
    return audio / item["gain"], rate


def _distances(
    sounds: Sequence[tuple[Any, int]], converged: Sequence[tuple[Any, int]]
) -> list[float]:
    return [
        mel_distance(ours, theirs, rate)
        for (ours, rate), (theirs, _) in zip(sounds, converged, strict=False)
    ]


def _mean(values: Sequence[float]) -> dict[str, Any]:
    low, high = interval(values) or (None, None)
    return {"value": fmean(values), "low": low, "high": high, "count": len(values)}


def _afterwards(grid: Grid, cell: Cell) -> dict[str, Any]:
    """Return the scores that a cell was given when it was made; none where it has none."""
    if not grid.scoring.metrics or not grid.scores(cell).is_file():
        return {"scores": [], "items": [], "warnings": []}
    scored: dict[str, Any] = json.loads(grid.scores(cell).read_text("utf-8"))["scored"]
    return scored


def _scores(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the scores of a record, those of items with intervals over the items."""
    rows = []
    for row in record["scores"]:
        found = [item["scores"].get(row["name"]) for item in record["items"]]
        values = [value for value in found if value is not None]
        bounds = interval(values) if row["scope"] == "item" else None
        low, high = bounds or (None, None)
        keys = ("name", "scope", "value", "count", "higher_is_better")
        rows.append({key: row[key] for key in keys} | {"low": low, "high": high})
    return rows


def _owner(plugin: Mapping[str, Any]) -> str:
    return f"{plugin['kind']}.{plugin['name']}@{plugin['distribution']}"


def _warnings(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    done = [each for each in cells if each["status"] == "done"]
    said = []
    devices = sorted({each["device"] for each in done})
    if len(devices) > 1:
        said.append(
            f"the cells were made on {' and '.join(devices)}; their seconds cannot be compared"
        )
    hashes: dict[str, set[str]] = {}
    for each in done:
        for owner, digest in each["hashes"].items():
            hashes.setdefault(owner, set()).add(digest)
    for owner, found in sorted(hashes.items()):
        if len(found) > 1:
            said.append(
                f"{owner} changed between the cells; remove the older cells and start again"
            )
    for what, count, option in _fewest(done):
        said.append(
            f"{what} are of {count} sounds: intervals of fewer than {FEW} are too narrow, and "
            f"fewer than 5 have none; take more with {option}"
        )
    return said


def _fewest(done: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int, str]]:
    """Yield what has few sounds, how many, and the option that takes more of them."""
    scored = [row["count"] for each in done for row in each["scores"] if row["scope"] == "item"]
    if scored and min(scored) < FEW:
        yield "scores", min(scored), "--count"
    near = [(each["distance"]["count"], each["count"]) for each in done if each["distance"]]
    if near and min(near)[0] < FEW:
        compared, made = min(near)
        yield "distances", compared, "--count" if compared == made else "--converged-count"


def _shared(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every note of a cell once, with the cells that have it."""
    done = [each for each in cells if each["status"] == "done"]
    names: dict[str, list[str]] = {}
    for each in done:
        for note in each["notes"]:
            names.setdefault(note, []).append(each["name"])
    said = []
    for note, found in names.items():
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        whose = "every cell" if len(found) == len(done) else ", ".join(found[:3]) + more
        said.append(f"{whose}: {note}")
    return said

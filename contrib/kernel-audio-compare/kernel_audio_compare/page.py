"""The page of a comparison: to listen row against column, to sort, to see the Pareto fronts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from kernel_audio_compare.plot import plots
from kernel_audio_compare.table import measured, number, within

__all__ = ["page"]


def page(record: Mapping[str, Any]) -> str:
    """Return `index.html` of a comparison, which refers to the sounds in the folders beside it."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    assets = files(__package__) / "templates"
    environment = Environment(
        loader=PackageLoader(str(__package__)), autoescape=True, trim_blocks=True
    )
    done = [cell for cell in record["cells"] if cell["status"] == "done"]
    drawn = plots(record)
    return environment.get_template("page.html").render(
        name=record["name"],
        style=Markup((assets / "page.css").read_text("utf-8")),
        scripts=[Markup((assets / name).read_text("utf-8")) for name in ("listen.js", "blind.js")],
        # In a script no text may hold "</".
        data=Markup(json.dumps(_data(record), ensure_ascii=True).replace("<", "\\u003c")),
        axes=record["axes"],
        facts=_facts(record, done),
        notes=_notes(record),
        heard=max((cell["count"] for cell in done), default=0),
        blind=len(done) > 1,
        plots=drawn,
        legend=drawn[0]["legend"] if drawn else [],
        head=_head(record),
        rows=[_row(record, cell) for cell in record["cells"]],
        settings=sorted(
            (key, value if isinstance(value, str) else json.dumps(value))
            for key, value in record["settings"].items()
            if value not in (None, [], {}, False)
        ),
    )


def _facts(
    record: Mapping[str, Any], done: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, str]]:
    failed = sum(cell["status"] == "failed" for cell in record["cells"])
    missing = len(record["cells"]) - len(done) - failed
    states = [f"{failed} failed"] * bool(failed) + [f"{missing} not made yet"] * bool(missing)
    seconds = sum(cell["seconds"] for cell in done)
    found = [
        ("Cells", str(len(done)), ", ".join(states)),
        ("Sounds in each", str(max((cell["count"] for cell in done), default=0)), ""),
        ("Seed", _seeds(record), "item i has the same noise wherever the seed is the same"),
        ("Sampling", f"{seconds:.1f} s", ", ".join(sorted({cell["device"] for cell in done}))),
    ]
    if aims := {each["converged"]["steps"] for each in record["groups"] if each["converged"]}:
        steps = " and ".join(map(str, sorted(aims)))
        found.append(("Converged run", f"{steps} steps", "distances are measured to it"))
    return found


def _seeds(record: Mapping[str, Any]) -> str:
    values = {axis["name"]: axis["values"] for axis in record["axes"]}
    return ", ".join(map(str, values.get("seed", [record["settings"]["seed"]])))


def _notes(record: Mapping[str, Any]) -> list[str]:
    groups = []
    for group in record["groups"]:
        if group["note"]:
            told = ", ".join(f"{key}={value}" for key, value in group["values"].items())
            groups.append(f"{told}: {group['note']}" if told else group["note"])
    failed = [f"{c['name']} failed: {c['sentence']}" for c in record["cells"] if c["sentence"]]
    return [*record["warnings"], *groups, *failed]


def _head(record: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """Return the titles of the columns, and whether they hold numbers."""
    names = [(axis["name"], all(_is_number(v) for v in axis["values"])) for axis in record["axes"]]
    columns = ["NFE", "distance, dB", "Pareto", "seconds", "s per s of sound", *_scores(record)]
    return [*names, *((name, True) for name in columns)]


def _row(record: Mapping[str, Any], cell: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the text of each column, and the value that it is sorted by, "" for none."""
    distance, scores = cell["distance"], {each["name"]: each for each in cell["scores"]}
    values = [(str(value), value) for value in cell["values"].values()]
    row = [
        (number(cell.get("nfe")) or cell["status"], cell.get("nfe")),
        (measured(distance, within(record, cell)), (distance or {}).get("value")),
        ("★" if cell["pareto"] else "", 1 if cell["pareto"] else None),
        (number(cell.get("seconds")), cell.get("seconds")),
        (number(cell.get("real_time_factor")), cell.get("real_time_factor")),
    ]
    row += [
        (measured(scores.get(name)), (scores.get(name) or {}).get("value"))
        for name in _scores(record)
    ]
    return [(text, "" if key is None else key) for text, key in (*values, *row)]


def _scores(record: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(s["name"] for cell in record["cells"] for s in cell["scores"]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _data(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page's scripts know of a comparison."""
    axes = [
        {"name": axis["name"], "values": list(map(str, axis["values"]))} for axis in record["axes"]
    ]
    cells = []
    items: list[str] = []
    for cell in record["cells"]:
        found = cell.get("items", [])
        items += [
            f"{each['name']}: {each['label']}" if each["label"] else each["name"]
            for each in found[len(items) :]
        ]
        cells.append(
            {
                "name": cell["name"],
                "values": [str(cell["values"][axis["name"]]) for axis in record["axes"]],
                "group": cell["group"],
                "status": cell["status"],
                "sentence": cell["sentence"],
                "nfe": cell.get("nfe"),
                "distance": measured(
                    cell["distance"] and {**cell["distance"], "low": None}, within(record, cell)
                ),
                "pareto": bool(cell["pareto"]),
                "files": [f"{cell['folder']}/{each['file']}" for each in found],
            }
        )
    aims = {
        group["number"]: [
            f"{group['converged']['folder']}/{f}" for f in group["converged"]["files"]
        ]
        for group in record["groups"]
        if group["converged"]
    }
    digest = hashlib.sha256(json.dumps([record["axes"], record["settings"]]).encode()).hexdigest()
    return {
        "name": record["name"],
        "id": digest[:16],
        "axes": axes,
        "cells": cells,
        "items": items,
        "converged": aims,
    }

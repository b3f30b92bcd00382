"""Find grids for the digits packs, and measure what they are worth beside the plain ones.

    python benchmarks/solvers/digits.py

The plain grid is that of `edm`. Errors are those of optimise.py, over the noises that a grid was
found with and over others; digits are judged by the classifier of benchmarks/digits. Takes about 3
minutes on one core for each pair of a model and a solver. Writes a part of docs/solvers.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from optimise import configuration, problem, search
from paths import PAGE, renew, table
from rich.console import Console

import kernel
from kernel import Player, Schedule
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.optimised import OptimisedSchedule

sys.path.append(str(Path(__file__).resolve().parent.parent / "digits"))
from classifier import clip, listen, load
from judge import accuracy

FEW, MANY = 6, 12
"""Steps of the optimised grid, and of the plain one that it should equal."""

SEED = 2
"""The seed of the judged digits; grids are found with 0 and tested with 1."""


def heard(player: Player, schedule: Schedule, steps: int, count: int) -> dict[str, Any]:
    """Return hits, count and 95 % interval of `count` digits that a schedule made."""
    sounds = player.using(schedule).sample(count=count, steps=steps, seed=SEED)
    chances = listen(load(), torch.stack([clip(sound.audio[0]) for sound in sounds]))[2]
    digits = torch.tensor([int(sound.text or -1) for sound in sounds])
    total: dict[str, Any] = accuracy(chances, digits)["all"]
    return total


def measure(model: str, solver: str, items: int, count: int, console: Console) -> dict[str, Any]:
    """Return what the plain and the optimised grid are worth to a model and a solver."""
    player = kernel.load(model, [f"solver.{solver}"], batch=max(50, items))
    plan = player.plan
    found_with, other = (problem(player, items, seed) for seed in (0, 1))
    ends = {name: getattr(plan.assembly.schedule, name) for name in ("sigma_min", "sigma_max")}
    grid = search(
        found_with,
        FEW,
        ends["sigma_max"],
        ends["sigma_min"],
        lambda line: console.print(f"{model}, {solver}: {line}", highlight=False),
    )
    plain = EdmSchedule(**ends)
    optimised = OptimisedSchedule(**ends, grids=[tuple(grid[1:-1])])
    rows = [
        {
            "grid": name,
            "steps": steps,
            "error": found_with.error(schedule.sigmas(steps)),
            "other": other.error(schedule.sigmas(steps)),
            "heard": heard(player, schedule, steps, count),
        }
        for name, schedule, steps in (
            ("plain", plain, FEW),
            ("optimised", optimised, FEW),
            ("plain", plain, MANY),
        )
    ]
    text = configuration(plan, model, solver, [grid])
    console.print(text, markup=False, highlight=False)
    return {"model": model, "solver": solver, "items": items, "grid": grid, "rows": rows}


def part(reports: Sequence[dict[str, Any]]) -> str:
    """Return the table of the reports and the grids that were found."""
    noises = " or ".join(sorted({str(report["items"]) for report in reports}))
    header = [
        "model, solver",
        "grid",
        "steps",
        f"error, {noises} noises",
        f"{noises} others",
        "heard right",
    ]
    cells = [
        [
            f"`{report['model']}`, `{report['solver']}`",
            row["grid"],
            str(row["steps"]),
            f"{row['error']:.3f}",
            f"{row['other']:.3f}",
            f"{row['heard']['hits']}/{row['heard']['count']}",
        ]
        for report in reports
        for row in report["rows"]
    ]
    grids = [
        [
            f"`{report['model']}`, `{report['solver']}`",
            ", ".join(f"{sigma:.4g}" for sigma in report["grid"]),
        ]
        for report in reports
    ]
    return "\n\n".join([table(header, cells), table(["model, solver", "sigmas"], grids)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["digits-edm", "digits-rf"])
    parser.add_argument("--solvers", nargs="+", default=["unipc", "dpmpp-2m"])
    parser.add_argument("--items", type=int, default=16, help="noises to find a grid with")
    parser.add_argument("--count", type=int, default=100, help="digits to judge")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    chosen = parser.parse_args()
    console = Console()
    reports = [
        measure(model, solver, chosen.items, chosen.count, console)
        for model in chosen.models
        for solver in chosen.solvers
    ]
    text = part(reports)
    console.print(text, markup=False, highlight=False)
    if chosen.json:
        chosen.json.write_text(json.dumps(reports, indent=1) + "\n", "utf-8")
    PAGE.write_text(renew(PAGE.read_text("utf-8"), "grids", text), "utf-8")


if __name__ == "__main__":
    main()

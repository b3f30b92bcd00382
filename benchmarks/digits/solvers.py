"""Have both shipped models speak digits with every solver, and write how many are heard right.

    python benchmarks/digits/solvers.py

Fifty digits a cell, on the schedule and with the guidance that the model recommends. What was
measured is kept in a file, so that the command goes on where it was interrupted. Takes about a
quarter of an hour on one core. Writes a part of docs/digits-solvers.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from classifier import Ear, listen, load
from judge import machine
from measures import wilson
from rich.progress import Progress
from voice import Cells, Voice

from kernel import Schedule, Solver
from kernel_plugins.schedules.edm import EdmSchedule

sys.path.append(str(Path(__file__).resolve().parent.parent / "solvers"))
import cases
from error import steps_within
from paths import renew, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "digits-solvers.md"
MODELS = ("digits-edm", "digits-rf")
BUDGETS = (8, 16, 32)
COUNT, SEED = 50, 3

Cell = dict[str, Any]


def adaptive(solver: Solver) -> bool:
    """Return whether a solver chooses its own steps, so that its evaluations are not known."""
    return "nfe" in solver.shortfalls


def solvers() -> dict[str, Solver]:
    """Return every solver as it comes and with eta=1, and the adaptive one at each tolerance."""
    return {
        label: solver
        for label, solver in cases.solvers().items()
        if " " not in label or label.endswith(" eta=1") or adaptive(solver)
    }


def heard(
    ear: Ear, voice: Voice, solver: Solver, schedule: Schedule, steps: int, count: int = COUNT
) -> Cell:
    """Return how many digits are heard right, and the evaluations that they took."""
    spoken = voice.speak(solver, schedule, steps, count, SEED)
    chances = listen(ear, spoken.clips)[2]
    hits = int((chances.argmax(1) == spoken.digits).sum())
    return {"hits": hits, "count": count, "nfe": spoken.nfe}


def plans(voice: Voice, solver: Solver) -> list[tuple[Schedule, int]]:
    """Return the grids and steps to try: one for each of BUDGETS, or one to choose steps within."""
    schedule = voice.assembly.schedule
    if adaptive(solver):
        ends = {name: getattr(schedule, name) for name in ("sigma_min", "sigma_max")}
        return [(EdmSchedule(**ends), 2)]
    return [(schedule, steps_within(solver, budget)) for budget in BUDGETS]


def share(cell: Cell) -> str:
    """Return what a cell of the table says."""
    return f"{cell['hits'] / cell['count']:.0%}"


def part(found: dict[str, dict[str, list[Cell]]]) -> str:
    """Return the tables of what was found, by solver and model."""
    models = list(next(iter(found.values())))
    usual: list[list[str]] = []
    own: list[list[str]] = []
    for solver, rows in found.items():
        cells = [cell for row in rows.values() for cell in row]
        if len(cells) == len(models):
            own.append(
                [f"`{solver}`", *(f"{share(cell)} with {cell['nfe']} NFE" for cell in cells)]
            )
        else:
            spent = " / ".join(str(cell["nfe"]) for cell in rows[models[0]])
            usual.append([f"`{solver}`", spent, *(share(cell) for cell in cells)])
    budgets = [f"`{model}`, {budget} NFE" for model in models for budget in BUDGETS]
    bounds = [wilson(hits, COUNT) for hits in (COUNT, COUNT - 5)]
    sure, most = (f"{low:.0%} to {high:.0%}" for low, high in bounds)
    return "\n\n".join(
        [
            table(["solver", "NFE spent", *budgets], usual),
            table(["adaptive solver", *(f"`{model}`" for model in models)], own),
            f"{COUNT} digits a cell, seed {SEED}: 100 % means {sure} and 90 % means {most} with "
            f"95 % confidence. Made on: {machine()}.",
        ]
    )


def measure(models: Sequence[str], file: Path, progress: Progress) -> dict[str, Any]:
    """Return the cells of every solver, by solver and model."""
    ear, cells, every = load(), Cells(file), solvers()
    found: dict[str, dict[str, list[Cell]]] = {label: {} for label in every}
    for model in models:
        voice = Voice(model)
        for label, solver in progress.track(every.items(), description=model):
            found[label][model] = [
                cells.get(
                    f"{voice.key} {label}, {steps} steps, {COUNT} digits, seed {SEED}",
                    partial(heard, ear, voice, solver, schedule, steps),
                )
                for schedule, steps in plans(voice, solver)
            ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", default=MODELS, help="packs or trained folders")
    parser.add_argument(
        "--cells", type=Path, default=Path("runs/digits-solvers.json"), help="what is measured"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    with Progress() as progress:
        found = measure(options.models, options.cells, progress)
    PAGE.write_text(renew(PAGE.read_text("utf-8"), "accuracy", part(found)), "utf-8")


if __name__ == "__main__":
    main()

"""Compare every solver with Euler on every grid at 8, 16 and 32 steps, all at default options.

    python benchmarks/solvers/cells.py

Deterministic solvers by the error of the path that error.py measures; stochastic ones by the error
of their distribution, beside `euler` with eta 1. Writes a part of docs/solvers.md in half a minute.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import attrs
import torch
from cases import made
from error import STDS, Flow, moments
from paths import PAGE, renew, table

import kernel_plugins.schedules
import kernel_plugins.solvers
from kernel import Schedule, Solver
from kernel_audio_testing.exact import Gaussian
from kernel_plugins.solvers.euler import Euler

STEPS = (8, 16, 32)


@attrs.frozen
class Cell:
    """What a solver does on a grid, as a share of Euler's error with as many steps.

    `evaluations` is the same with as many evaluations as the solver took.
    """

    solver: str
    schedule: str
    steps: int
    error: float
    share: float
    evaluations: float


def solvers(stochastic: bool) -> dict[str, Solver]:
    """Return the solvers at default options, Euler's own left out."""
    found: dict[str, Solver] = made(kernel_plugins.solvers, "solver")
    return {
        name: solver
        for name, solver in found.items()
        if solver.stochastic == stochastic and not solver.needs and name != "euler"
    }


def schedules() -> dict[str, Schedule]:
    """Return the schedules at default options; `optimised` has the grids of `edm` then."""
    found: dict[str, Schedule] = made(kernel_plugins.schedules, "schedule")
    return {name: schedule for name, schedule in found.items() if name != "optimised"}


def deterministic(flow: Flow, steps: int, chosen: Mapping[str, Solver] | None = None) -> list[Cell]:
    """Return the cells of the chosen solvers, of all without noise by default, Euler's first."""
    cells = []
    chosen = chosen or solvers(stochastic=False)
    for grid, schedule in schedules().items():
        sigmas = schedule.sigmas(steps)
        euler, _ = flow.measure(Euler(), sigmas)
        cells.append(Cell("euler", grid, steps, euler, 1.0, 1.0))
        for name, solver in chosen.items():
            error, calls = flow.measure(solver, sigmas)
            other = euler
            if calls != steps:
                calls = min(calls, getattr(schedule, "levels", calls))
                other, _ = flow.measure(Euler(), schedule.sigmas(calls))
            cells.append(Cell(name, grid, steps, error, error / euler, error / other))
    return cells


def distribution(solver: Solver, schedule: Schedule, steps: int) -> float:
    """Return how far mean and standard deviation are off, the worst of STDS, in units of it.

    That is the distance of Wasserstein. The start is data and noise.
    """
    std = torch.tensor([STDS], dtype=torch.float64)
    data = Gaussian(torch.ones_like(std), std)
    mean, spread = moments(solver, schedule.sigmas(steps), data, from_data=True)
    return float((((spread - std) ** 2 + (mean - 1) ** 2).sqrt() / std).max())


def stochastic(steps: int) -> list[Cell]:
    """Return the cells of the solvers with noise, those of Euler with eta 1 first."""
    cells = []
    for grid, schedule in schedules().items():
        euler = distribution(Euler(eta=1.0), schedule, steps)
        cells.append(Cell("euler eta=1", grid, steps, euler, 1.0, 1.0))
        for name, solver in solvers(stochastic=True).items():
            error = distribution(solver, schedule, steps)
            calls = min(solver.nfe(steps), getattr(schedule, "levels", math.inf))
            other = euler
            if calls != steps:
                other = distribution(Euler(eta=1.0), schedule, int(calls))
            cells.append(Cell(name, grid, steps, error, error / euler, error / other))
    return cells


def shown(cells: Iterable[Cell]) -> str:
    """Return a table of some number of steps: Euler's errors, and what others have of them."""
    rows: dict[str, list[str]] = {}
    header = []
    for cell in cells:
        if cell.solver.startswith("euler") and cell.share == cell.evaluations == 1:
            header.append(f"`{cell.schedule}`")
            text = f"{cell.error:.3f}"
        else:
            text = f"{cell.share:.2f}{' *' if cell.evaluations > 1 + 1e-9 else ''}"
        rows.setdefault(cell.solver, []).append(text)
    lines = [[f"`{name}`", *texts] for name, texts in rows.items()]
    return table(["solver", *header], lines)


def part(flow: Flow) -> str:
    """Return the tables of all cells."""
    blocks = []
    for steps in STEPS:
        blocks += [f"{steps} steps, without noise:", shown(deterministic(flow, steps))]
    for steps in STEPS:
        blocks += [f"{steps} steps, with noise:", shown(stochastic(steps))]
    return "\n\n".join(blocks)


def main() -> None:
    torch.set_num_threads(1)
    PAGE.write_text(renew(PAGE.read_text("utf-8"), "cells", part(Flow())), "utf-8")


if __name__ == "__main__":
    main()

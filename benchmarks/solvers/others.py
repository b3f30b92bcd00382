"""Compare every solver with Euler on other data, with and without its rule on long steps.

    python benchmarks/solvers/others.py

`leap_ratio` was chosen on the mixture that cells.py measures. The data here are others whose
denoisers are known as well, and no option was chosen on them. Writes a part of docs/solvers.md in
three minutes on a core of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from cells import STEPS, Cell, deterministic, solvers
from error import Flow, five
from paths import PAGE, renew, table

from kernel import Solver
from kernel_audio_testing.exact import Gaussian, Mixture

Data = Gaussian | Mixture


def spectrum(generator: torch.Generator) -> Gaussian:
    """Return correlated normal data, of standard deviations 1, 1/2, 1/3, ..., 1/64.

    The axes are those of the covariance: solvers commute with rotations.
    """
    std = 1 / torch.arange(1, 65, dtype=torch.float64)[None]
    return Gaussian(torch.zeros_like(std), std)


def scales(generator: torch.Generator) -> Mixture:
    """Return a mixture with standard deviations from 0.02 (often) to 1 (seldom)."""
    means = torch.randn(12, 2, 4, generator=generator, dtype=torch.float64)
    stds = torch.logspace(-1.7, 0, 12, dtype=torch.float64)
    return Mixture(means, stds, torch.logspace(0, -2, 12, dtype=torch.float64))


def ring(generator: torch.Generator) -> Mixture:
    """Return a ring of radius 1 and thickness 0.1 in the plane, of 32 overlapping parts."""
    angles = torch.arange(32, dtype=torch.float64) * (math.tau / 32)
    means = torch.stack([angles.cos(), angles.sin()], 1)[:, :, None]
    return Mixture(means, torch.full_like(angles, 0.1), torch.ones_like(angles))


def quiet(generator: torch.Generator) -> Mixture:
    """Return a mixture a tenth as large as the usual one."""
    usual = five(generator)
    return Mixture(usual.means / 10, usual.stds / 10, usual.weights)


def points(generator: torch.Generator) -> Mixture:
    """Return eight points, blurred by 0.02: a denoiser that jumps from one to another."""
    means = torch.randn(8, 2, 3, generator=generator, dtype=torch.float64)
    return Mixture(means, torch.full((8,), 0.02).double(), torch.ones(8).double())


DATA: Mapping[str, Callable[[torch.Generator], Data]] = {
    made.__name__: made for made in (five, spectrum, scales, ring, quiet, points)
}
"""The data of cells.py, and others."""


SHOWN = 10
"""The most cells of a row that are named."""


def flow(name: str) -> Flow:
    """Return the data of that name, its noises and where they end; those of cells.py for `five`."""
    return Flow() if name == "five" else Flow(DATA[name](torch.Generator().manual_seed(0)))


def off(solver: Solver) -> Solver:
    """Return the solver as it was published, without a rule on long steps."""
    held = "leap_ratio" in type(solver).model_fields
    return solver.model_copy(update={"leap_ratio": None}) if held else solver


def measured(found: Flow, published: bool) -> list[Cell]:
    """Return the cells of all numbers of steps, without Euler's and the adaptive solver's."""
    chosen: dict[str, Any] = solvers(stochastic=False)
    del chosen["rk45"]
    if published:
        chosen = {name: off(solver) for name, solver in chosen.items()}
    cells = [cell for steps in STEPS for cell in deterministic(found, steps, chosen)]
    return [cell for cell in cells if cell.solver != "euler"]


def figures(cells: Sequence[Cell]) -> dict[str, float]:
    """Return how many cells are worse than Euler, the mean share of its error and the largest."""
    shares = [cell.share for cell in cells]
    return {
        "cells": len(cells),
        "worse": sum(share > 1 + 1e-9 for share in shares),
        "evaluations": sum(cell.evaluations > 1 + 1e-9 for cell in cells),
        "mean": math.exp(sum(map(math.log, shares)) / len(shares)),
        "largest": max(shares),
    }


def row(name: str, published: Sequence[Cell], careful: Sequence[Cell]) -> list[str]:
    """Return a row of the table: each figure without the rule, then with it."""
    before, after = figures(published), figures(careful)
    return [
        f"`{name}`",
        *(f"{before[key]:.0f}, {after[key]:.0f}" for key in ("worse", "evaluations")),
        f"{before['mean']:.2f}, {after['mean']:.2f}",
        f"{before['largest']:.1f}, {after['largest']:.1f}",
    ]


def part() -> str:
    """Return the table, and the cells that are worse than Euler with the rule."""
    rows, lost = [], []
    for name in DATA:
        found = flow(name)
        careful = measured(found, published=False)
        rows.append(row(name, measured(found, published=True), careful))
        worse = [
            f"`{cell.solver}` on `{cell.schedule}` {cell.steps} ({cell.share:.2f})"
            for cell in sorted(careful, key=lambda cell: -cell.share)
            if cell.share > 1 + 1e-9
        ]
        if worse:
            lost.append(f"- `{name}`: {', '.join(worse[:SHOWN])}{rest(len(worse) - SHOWN)}.")
    header = ["data", "worse, same steps", "worse, same evaluations", "mean share", "largest share"]
    return "\n\n".join([table(header, rows), "\n".join(lost)])


def rest(count: int) -> str:
    """Return the words for cells that are not named."""
    return f" and {count} more" if count > 0 else ""


def main() -> None:
    torch.set_num_threads(1)
    PAGE.write_text(renew(PAGE.read_text("utf-8"), "others", part()), "utf-8")


if __name__ == "__main__":
    main()

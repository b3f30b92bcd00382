"""No solver at default options is worse than Euler on the same grid with as many steps."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "solvers.md").read_text("utf-8")
STEPS = (8, 16, 32)

WORSE = {
    ("euler-maruyama", "ve", 32): 1.14,  # the noise of all its steps is just within the limit
}
"""Shares of Euler's error that are above 1, and why. `ping-pong` is for networks whose D is a
sample, as its shortfall says, and is not held to it."""


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "solvers"))
        yield


@pytest.fixture(scope="module")
def cells():
    return importlib.import_module("cells")


@pytest.fixture(scope="module")
def flow(cells):
    return cells.Flow()


def worse(found):
    return {
        (cell.solver, cell.schedule, cell.steps): round(cell.share, 2)
        for cell in found
        if cell.share > 1 + 1e-9 and cell.solver != "ping-pong"
    }


@pytest.mark.parametrize("steps", STEPS)
def test_no_default_without_noise_is_worse_than_euler(cells, flow, steps):
    found = cells.deterministic(flow, steps)
    assert worse(found) == {}
    assert cells.shown(found) in PAGE


@pytest.mark.parametrize("steps", STEPS)
def test_no_default_with_noise_is_worse_than_euler_with_noise(cells, steps):
    found = cells.stochastic(steps)
    assert worse(found) == {cell: share for cell, share in WORSE.items() if cell[2] == steps}
    assert cells.shown(found) in PAGE


def test_every_solver_and_schedule_has_a_cell(cells):
    solvers = {"euler", *cells.solvers(stochastic=True), *cells.solvers(stochastic=False)}
    for kind, found in (("solvers", solvers), ("schedules", {*cells.schedules(), "optimised"})):
        files = (ROOT / "plugins" / "kernel_plugins" / kind).glob("[!_]*.py")
        assert found == {path.stem.replace("_", "-") for path in files}


def test_a_star_is_for_euler_with_as_many_evaluations(cells):
    euler = cells.Cell("euler", "edm", 8, 0.2, 1.0, 1.0)
    text = cells.shown([euler, cells.Cell("heun", "edm", 8, 0.1, 0.5, 1.5)])
    assert text.splitlines()[2:] == ["| `euler` | 0.200 |", "| `heun` | 0.50 * |"]

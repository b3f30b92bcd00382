"""The rule on long steps holds on data that it was not chosen on."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.rk45 import Rk45

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "solvers.md").read_text("utf-8")


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "solvers"))
        yield


@pytest.fixture(scope="module")
def others():
    return importlib.import_module("others")


def test_the_rule_keeps_every_solver_below_euler_on_correlated_data(others):
    found = others.flow("spectrum")
    careful = others.measured(found, published=False)
    published = others.measured(found, published=True)
    assert others.figures(careful)["worse"] == 0
    assert others.figures(published)["worse"] > 50
    assert f"| {' | '.join(others.row('spectrum', published, careful))} |" in PAGE


def test_the_ring_is_round_and_the_spectrum_falls(others):
    generator = torch.Generator().manual_seed(0)
    radii = others.ring(generator).sample(500, generator).flatten(1).norm(dim=1)
    assert float(radii.mean()) == pytest.approx(1, abs=0.02)
    assert float(radii.std()) == pytest.approx(0.1, abs=0.01)
    stds = others.spectrum(generator).sample(4000, generator).std(0).flatten()
    assert [float(stds[k]) for k in (0, 1, 63)] == pytest.approx([1, 1 / 2, 1 / 64], rel=0.05)


def test_off_is_for_solvers_that_have_the_rule(others):
    assert others.off(Heun()).leap_ratio is None
    assert others.off(Rk45()) == Rk45()


def test_the_page_has_all_data(others):
    text = PAGE.split("<!-- others -->")[1].split("<!-- end of others -->")[0]
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"`{name}`" for name in others.DATA]

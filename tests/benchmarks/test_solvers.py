"""The benchmarks of solvers measure what they say, and their page says what they measured."""

from __future__ import annotations

import importlib
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from kernel import UsageError
from kernel.config import RunConfig, load
from kernel.registry import Registry
from kernel.runner.plan import plan_run
from kernel_audio_testing.exact import Gaussian
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.schedules.optimised import OptimisedSchedule
from kernel_plugins.schedules.ve import VeSchedule
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.unipc import UniPC

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "solvers.md").read_text("utf-8")
NORMAL = Gaussian(
    torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 0.5, dtype=torch.float64)
)


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "digits"))
        patch.syspath_prepend(str(ROOT / "benchmarks" / "solvers"))
        yield


@pytest.fixture(scope="module")
def error():
    return importlib.import_module("error")


@pytest.fixture(scope="module")
def optimise():
    return importlib.import_module("optimise")


@pytest.fixture(scope="module")
def flow(error):
    return error.Flow()


@pytest.fixture(scope="module")
def posed(flow, optimise):
    return optimise.Problem(DpmPP2M(), flow.data.denoise, flow.start(80.0), flow.truth)


def test_every_solver_without_needs_and_every_usual_schedule_is_measured():
    cases = importlib.import_module("cases")
    solvers = {label.split()[0] for label in cases.solvers()}
    files = (ROOT / "plugins" / "kernel_plugins" / "solvers").glob("[!_]*.py")
    assert solvers == {path.stem.replace("_", "-") for path in files}
    schedules = {label.split()[0] for label in cases.schedules()}
    files = (ROOT / "plugins" / "kernel_plugins" / "schedules").glob("[!_]*.py")
    others = {"bbed", "optimised", "ouve", "sb-ve"}
    assert schedules == {path.stem.replace("_", "-") for path in files} - others


def test_a_label_says_the_options_and_where_a_range_ends():
    cases = importlib.import_module("cases")
    assert cases.label("ve", {"sigma_max": 80.0, "sigma_min": 0.1}) == "ve to 0.1"
    assert cases.label("alpha", {"alpha": 2 / 3, "exact": True}) == "alpha alpha=0.667 exact=True"


def test_a_budget_is_spent_on_steps(error):
    assert [error.steps_within(Heun(), budget) for budget in (1, 2, 3, 8, 9)] == [1, 1, 2, 4, 5]
    assert error.steps_within(Euler(), 8) == 8


def test_errors_of_paths_are_relative_and_evaluations_are_counted(error, flow):
    errors = []
    for steps in (200, 400):
        off, calls = flow.measure(Euler(), VeSchedule(sigma_max=80, sigma_min=1e-4).sigmas(steps))
        assert calls == steps
        errors.append(off)
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.2)
    nothing, _ = flow.measure(Euler(), [80.0, 0.0])
    assert nothing == pytest.approx(
        float((flow.data.denoise(flow.start(80.0), 80.0) - flow.truth).norm())
        / float(flow.truth.norm())
    )


def test_the_aim_is_reached_within_twelve_evaluations(error, flow):
    cases = importlib.import_module("cases")
    grids = cases.schedules()
    makers = [("unipc", UniPC(), name, schedule) for name, schedule in grids.items()]
    chosen = error.best(error.paths(flow, makers), "unipc", 12)
    assert chosen.error <= 1e-2
    assert f"{chosen.error:.1e} `{chosen.schedule}`" in PAGE


def test_moments_are_those_of_the_closed_form(error):
    """With the data's own beta each state of the chain has the right variance, and D less."""
    sigmas = VeSchedule(sigma_max=80, sigma_min=0.01).sigmas(12)
    mean, std = error.moments(Ddpm(variance="data", data_std=0.5), sigmas, NORMAL)
    assert float(std) == pytest.approx(0.25 / math.hypot(0.5, sigmas[-2]), rel=1e-4)
    assert float(mean) == pytest.approx(1, abs=1e-3)


def test_moments_are_those_of_many_samples(error):
    sigmas = EdmSchedule(sigma_min=0.1).sigmas(6)
    mean, std = error.moments(Euler(eta=1.0), sigmas, NORMAL)
    generator = torch.Generator().manual_seed(0)

    def noise(sigma: float, following: float) -> torch.Tensor:
        return torch.randn(100_000, 1, 1, generator=generator, dtype=torch.float64)

    follow = importlib.import_module("paths").follow
    end = follow(Euler(eta=1.0), NORMAL.denoise, 80 * noise(80, 80), sigmas, noise)
    assert float(mean) == pytest.approx(float(end.mean()), abs=0.01)
    assert float(std) == pytest.approx(float(end.std()), rel=0.01)


def test_moments_without_noise_are_those_of_the_path(error):
    sigmas = EdmSchedule().sigmas(400)
    mean, std = error.moments(Heun(), sigmas, NORMAL)
    start = torch.tensor([[[0.0]], [[80.0]]], dtype=torch.float64)
    silent, moved = NORMAL.flow(start, 80.0, 0.0)
    assert float(mean) == pytest.approx(float(silent), abs=1e-4)
    assert float(std) == pytest.approx(float(moved - silent), rel=1e-4)


def test_grids_of_one_step_are_no_distribution(error):
    found = error.distributions([("euler", Euler(eta=1.0), "edm", EdmSchedule())])
    assert [each.nfe for each in found] == list(error.BUDGETS)
    found = error.distributions([("heun", Heun(s_churn=9.0), "edm", EdmSchedule())])
    assert min(each.nfe for each in found) == 3


def test_the_picture_has_a_panel_for_each_schedule(error, tmp_path):
    results = [
        error.Result(solver, schedule, budget, budget, 1 / budget)
        for solver in ("unipc", "dpm-3m published=True")
        for schedule in ("ve to 0.1", "ve to 0.002", "rf shift=1", "edm to 0.1", "vp to 0.1")
        for budget in (4, 8)
    ]
    importlib.import_module("picture").draw(results, 1e-2, 12, tmp_path / "all.png")
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


def test_a_part_of_the_page_is_renewed_and_nothing_else():
    renew = importlib.import_module("paths").renew
    page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb"
    assert renew(page, "x", r"new \1") == "a\n<!-- x -->\nnew \\1\n<!-- end of x -->\nb"
    with pytest.raises(SystemExit, match="has 0 parts 'y'"):
        renew(page, "y", "")


def test_least_squares_find_a_minimum_and_keep_out_of_what_is_forbidden(optimise):
    def offset(at):
        return torch.tensor([math.exp(at[0]) - 3, at[0] * at[1] - 1], dtype=torch.float64)

    found = optimise.levenberg_marquardt(offset, [0.0, 0.5])
    assert found == pytest.approx([math.log(3), 1 / math.log(3)], abs=1e-3)
    kept = optimise.levenberg_marquardt(lambda at: offset(at) if at[0] < 0.5 else None, [0.0, 0.5])
    assert 0.3 < kept[0] < 0.5
    with pytest.raises(UsageError, match="cannot start"):
        optimise.levenberg_marquardt(lambda at: None, [0.0])


def test_a_found_grid_is_better_than_plain_ones_of_more_steps(optimise, posed):
    grid = optimise.search(posed, 6, 80.0, 0.002, lambda line: None)
    assert len(grid) == 7
    assert (grid[0], grid[-1]) == (80.0, 0.0)
    assert all(sigma > following for sigma, following in pairwise(grid))
    assert posed.error(grid) < 0.8 * min(posed.error(EdmSchedule().sigmas(n)) for n in (6, 7, 8))


@pytest.mark.parametrize(
    ("steps", "sigma_max", "sentence"),
    [(1, 80.0, "a grid of 1 steps has no sigma to choose"), (6, 0.01, "needs room between")],
)
def test_a_search_without_unknowns_is_refused(optimise, posed, steps, sigma_max, sentence):
    with pytest.raises(UsageError, match=sentence):
        optimise.search(posed, steps, sigma_max, 0.002, lambda line: None)


def test_a_solver_with_noise_has_no_path(optimise, posed):
    noisy = optimise.Problem(Euler(eta=1.0), posed.denoise, posed.x, posed.truth)
    with pytest.raises(UsageError, match="no path to compare"):
        noisy.error([80.0, 1.0, 0.0])


def test_what_is_written_is_a_configuration_of_a_run(optimise, tmp_path):
    plan = plan_run(RunConfig(model="digits-edm"), Registry.scan())
    grid = [80.0, 12.3456, 1.0, 0.2, 0.0]
    file = tmp_path / "four.toml"
    file.write_text(optimise.configuration(plan, "digits-edm", "unipc", [grid]), "utf-8")
    again = plan_run(load(RunConfig, file, {}), Registry.scan())
    assert isinstance(again.assembly.schedule, OptimisedSchedule)
    assert again.assembly.schedule.sigmas(again.steps) == [80.0, 12.35, 1.0, 0.2, 0.0]


def test_the_command_ends_in_one_sentence(optimise, monkeypatch, tmp_path):
    words = ["optimise.py", "--solver", "ping-pong", "--items", "1", "--out", str(tmp_path / "x")]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match="a solver that adds noise has no path to compare"):
        optimise.main()


def test_the_part_about_grids_is_written_from_its_reports():
    digits = importlib.import_module("digits")
    row = {
        "grid": "plain",
        "steps": 6,
        "error": 0.1234,
        "other": 0.2,
        "heard": {"hits": 9, "count": 10},
    }
    report = {"model": "m", "solver": "s", "items": 3, "grid": [80.0, 1.0, 0.0], "rows": [row]}
    text = digits.part([report])
    assert "| `m`, `s` | plain | 6 | 0.123 | 0.200 | 9/10 |" in text
    assert "error, 3 noises" in text
    assert "| `m`, `s` | 80, 1, 0 |" in text

"""What guidances sample of normal data, against the exact posterior, and the page that says so."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel import Guidance, Solver
from kernel_plugins.guidance.dps import Dps
from kernel_plugins.guidance.guidance_gradient import GuidanceGradient
from kernel_plugins.guidance.langevin import Langevin
from kernel_plugins.guidance.moments import Moments
from kernel_plugins.guidance.projection import Projection
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun

ROOT = Path(__file__).resolve().parents[3]
EXACT = ["continuation", "infill", "low-pass", "decimation", "two sources"]
NOISY = ["reverb", "noise"]
GAUSSIAN = Dps(normalization="gaussian")


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "solvers"))
        patch.syspath_prepend(str(ROOT / "benchmarks" / "guidance"))
        yield


@pytest.fixture(scope="module")
def truth():
    return importlib.import_module("truth")


@pytest.fixture(scope="module")
def problems(truth):
    return truth.problems()


@pytest.fixture
def error(truth, problems):
    """Return a function that samples a few hundred items in 32 steps."""

    def run(name: str, *guidances: Guidance, solver: Solver | None = None, **options: Any) -> Any:
        named = {type(each).__name__.lower(): each for each in guidances}
        problem, sigmas = problems[name], EdmSchedule().sigmas(32)
        samples = problem.sample(named, solver or Heun(), sigmas, 500, **options)
        return truth.Error.of(samples, problem)

    return run


@pytest.mark.parametrize("name", [*EXACT, *NOISY])
def test_the_posterior_is_that_of_a_regression(problems, name: str) -> None:
    """Fitted by least squares to draws of x0 and y, of which the posterior has to know nothing."""
    problem = problems[name]
    generator = torch.Generator().manual_seed(0)
    x0 = problem.prior.draw(40000, generator)
    y = x0 @ problem.matrix.T
    y = y + problem.noise * torch.randn(y.shape, generator=generator, dtype=y.dtype)
    known = torch.cat([y, torch.ones(len(y), 1, dtype=y.dtype)], 1)
    weights = torch.linalg.lstsq(known, x0).solution
    mean = torch.cat([problem.target, torch.ones(1, dtype=y.dtype)]) @ weights
    covariance = (x0 - known @ weights).T.cov()
    truth = problem.posterior
    assert (mean - truth.mean).norm() < 0.1 * truth.covariance.trace().sqrt()
    assert (covariance - truth.covariance).norm() < 0.05 * truth.covariance.norm()


@pytest.mark.parametrize("name", [*EXACT, *NOISY])
def test_its_own_denoiser_samples_it(error, problems, name: str) -> None:
    found = error(name, denoiser=problems[name].posterior.denoiser())
    assert found.mean < 0.1 and found.covariance < 0.3 and abs(found.spread - 1) < 0.05


@pytest.mark.parametrize("name", [*EXACT, *NOISY])
def test_without_guidance_nothing_is_met(error, name: str) -> None:
    found = error(name)
    assert found.mean > 1 and found.residual > 1


@pytest.mark.parametrize("mode", ["x0", "noised", "literal"])
@pytest.mark.parametrize("name", EXACT)
def test_projection_meets_the_target_and_keeps_a_spread(error, name: str, mode: str) -> None:
    found = error(name, Projection.model_validate({"mode": mode}))
    assert found.residual < 1e-12
    assert found.mean < 1.3 and 0.9 < found.spread < 1.6


@pytest.mark.parametrize("name", EXACT)
def test_resampling_brings_projection_to_the_posterior(error, name: str) -> None:
    once, often = (error(name, Projection(resamples=count), solver=Euler()) for count in (1, 8))
    assert often.mean < 0.3 and often.covariance < 0.35 and often.residual < 1e-12
    assert often.mean < 0.75 * once.mean


@pytest.mark.parametrize("name", NOISY)
def test_projection_of_what_is_noisy_collapses(error, name: str) -> None:
    found = error(name, Projection())
    assert found.spread < 1e-6 and found.residual < 1e-10


@pytest.mark.parametrize(
    "name, mean, covariance",
    [
        ("continuation", 0.2, 0.2),
        ("infill", 0.9, 0.3),
        ("low-pass", 0.15, 0.2),
        ("noise", 0.6, 0.6),
    ],
)
def test_gaussian_dps_is_near_the_posterior(
    error, name: str, mean: float, covariance: float
) -> None:
    found = error(name, GAUSSIAN)
    assert found.mean < mean and found.covariance < covariance and abs(found.spread - 1) < 0.1


def test_gaussian_dps_fails_where_the_operator_mutes(error) -> None:
    assert error("reverb", GAUSSIAN).covariance > 2


@pytest.mark.parametrize("name", [*EXACT, *NOISY])
def test_matched_moments_sample_the_posterior_of_everything(error, name: str) -> None:
    found = error(name, Moments(iterations=6, tolerance=0.02))
    assert found.mean < 0.15 and found.covariance < 0.3 and abs(found.spread - 1) < 0.1


@pytest.mark.parametrize("name", EXACT)
def test_a_normalised_gradient_reaches_the_target_when_it_is_strong(error, name: str) -> None:
    weak, strong = (error(name, Dps(scale=scale)).residual for scale in (0.25, 1.0))
    assert strong < 0.1 < weak < 1


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize(
    "guidance",
    [
        Dps(normalization="residual", scale=0.3),
        GuidanceGradient(algorithm="ddpm", xi=1.0),
    ],
    ids=lambda guidance: type(guidance).__name__,
)
def test_the_published_steps_of_ddpm_come_near(error, guidance: Guidance, name: str) -> None:
    found = error(name, guidance, solver=Ddpm())
    assert found.mean < 1 and found.residual < 0.3 and 0.8 < found.spread < 1.3


def test_the_published_xi_does_little_by_itself(error) -> None:
    plain, guided = error("infill"), error("infill", GuidanceGradient(), solver=Euler())
    assert 0.8 * plain.residual < guided.residual < plain.residual


@pytest.mark.parametrize("name", ["two sources", "reverb", "noise"])
def test_langevin_converges_with_its_steps(error, name: str) -> None:
    few, many = (error(name, Langevin(steps=steps), solver=Euler()) for steps in (1, 12))
    assert many.mean < 0.6 * few.mean and many.covariance < 0.6 * few.covariance


@pytest.mark.parametrize("name", ["infill", "two sources", "noise"])
def test_langevin_corrects_another_guidance(error, name: str) -> None:
    before, after = error(name, GAUSSIAN), error(name, GAUSSIAN, Langevin(gamma=None, steps=3))
    assert after.mean < 0.7 * before.mean and abs(after.spread - 1) < 0.1


@pytest.fixture(scope="module")
def page() -> dict[tuple[str, str], list[list[str]]]:
    """Return the cells of every row of the page's tables, by guidance and solver."""
    text = (ROOT / "docs" / "posterior.md").read_text("utf-8")
    rows: dict[tuple[str, str], list[list[str]]] = {}
    for line in text.splitlines():
        if re.match(r"\| .* \| `\w+` \|", line):
            guidance, solver, *cells = line.strip("| ").split(" | ")
            rows.setdefault((guidance, solver), []).append(cells)
    return rows


def test_the_page_has_the_cases_of_the_script(page) -> None:
    script = importlib.import_module("posterior")
    assert list(page) == [(str(case), f"`{case.solver}`") for case in script.cases()]


@pytest.mark.parametrize("guidance", ["`projection`", "`dps normalization=gaussian`"])
def test_the_page_says_what_is_measured(page, problems, guidance: str) -> None:
    script = importlib.import_module("posterior")
    (case,) = (each for each in script.cases() if (str(each), each.solver) == (guidance, "ddpm"))
    found, cost = case.run(problems["infill"], script.STEPS, script.COUNT)
    (nfe, *moments), signs = page[guidance, "`ddpm`"]
    column = list(problems).index("infill")
    assert nfe.split(" + ")[0] == str(cost.evaluations)
    said = [float(each) for each in f"{moments[column]} {signs[column]}".split()]
    assert said == pytest.approx(
        [found.mean, found.covariance, found.spread, found.residual], abs=0.02
    )

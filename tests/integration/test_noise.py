"""Noise on one Brownian path: the same path on every grid, for every batch, whatever the step."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from kernel import UsageError
from kernel.cli import main
from kernel.config import RunConfig
from kernel.runner.device import Machine
from kernel.runner.noise import BrownianNoise, ItemNoise
from kernel.runner.plan import Plan
from kernel.runner.sampling import Sampler
from kernel_audio_testing.exact import Gaussian
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.euler_maruyama import EulerMaruyama

pytest.importorskip("torchsde", reason="the extra `brownian` is not installed")

MACHINE = Machine.choose(RunConfig(device="cpu"))


def path(*items: int, seed: int = 0, size: int = 40, sigma_max: float = 80.0) -> BrownianNoise:
    return BrownianNoise(seed, [(item,) for item in items], (1, size), MACHINE, sigma_max)


def test_the_increments_of_two_half_steps_are_that_of_the_whole() -> None:
    for sigma, following in ((80.0, 40.0), (40.0, 1.0), (1.0, 0.01), (0.01, 0.002)):
        inner = math.sqrt(0.3 * sigma**2 + 0.7 * following**2)
        halves = path(0)
        first, second = halves(sigma, inner), halves(inner, following)
        sum_ = first * math.sqrt(sigma**2 - inner**2) + second * math.sqrt(inner**2 - following**2)
        whole = path(0)(sigma, following) * math.sqrt(sigma**2 - following**2)
        scale = math.sqrt(sigma**2 - following**2)
        torch.testing.assert_close(sum_ / scale, whole / scale, rtol=0, atol=1e-4)


def test_it_is_standard_normal_and_independent_from_step_to_step() -> None:
    noise = path(0, size=4000)
    draws = torch.stack([noise(80.0, 20.0), noise(20.0, 0.5), noise(0.5, 0.0)]).flatten(1)
    assert float((draws.mean(1)).abs().max()) < 0.06
    torch.testing.assert_close(torch.cov(draws), torch.eye(3), rtol=0, atol=0.08)


def test_an_item_depends_on_the_seed_and_its_index_alone() -> None:
    together = path(0, 1, 2)(80.0, 3.0)
    assert torch.equal(path(1)(80.0, 3.0)[0], together[1])
    assert not torch.equal(together[0], together[1])
    assert not torch.equal(path(1, seed=1)(80.0, 3.0)[0], together[1])


def test_a_state_made_of_it_is_not_made_of_the_independent_noise() -> None:
    independent = ItemNoise(0, [(0,)], (1, 40), MACHINE)(80.0, 3.0)
    share = float(
        torch.corrcoef(torch.stack([independent.flatten(), path(0)(80.0, 3.0).flatten()]))[0, 1]
    )
    assert abs(share) < 0.5


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ([(2.0, 2.0)], r"noise from sigma 2 to 2 after it came down to 80"),
        ([(2.0, 3.0)], r"noise from sigma 2 to 3 after it came down to 80"),
        ([(90.0, 3.0)], r"noise from sigma 90 to 3 after it came down to 80"),
        ([(80.0, 3.0), (4.0, 1.0)], r"noise from sigma 4 to 1 after it came down to 3"),
        ([(80.0, 3.0), (80.0, 3.0)], r"noise from sigma 80 to 3 after it came down to 3"),
    ],
)
def test_noise_that_a_path_does_not_have_is_refused(
    asked: list[tuple[float, float]], sentence: str
) -> None:
    noise = path(0)
    for sigma, following in asked[:-1]:
        noise(sigma, following)
    with pytest.raises(UsageError, match=f"{sentence}, but a Brownian path goes down once; use "):
        noise(*asked[-1])


def test_without_torchsde_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torchsde", None)
    with pytest.raises(
        UsageError,
        match=r"^Brownian noise needs the package torchsde; install kernel-audio\[brownian\], or "
        r"use --noise independent$",
    ):
        path(0)


def test_finer_grids_converge_to_one_sound() -> None:
    """Reach one end from one start; with other noise the end is another sound."""
    data = Gaussian(torch.zeros(1, 40), torch.full((1, 40), 0.5))
    start = 3 * ItemNoise(0, [(0,)], (1, 40), MACHINE)(3.0, 3.0)

    def end(steps: int, noise: BrownianNoise | ItemNoise) -> Tensor:
        sigmas = EdmSchedule(sigma_min=0.05, sigma_max=3.0).sigmas(steps)
        trajectory = EulerMaruyama().trajectory(data.denoise, start, sigmas, noise)
        step = next(trajectory)
        while step.sigma > 0:
            step = trajectory.send(step.x)
        return step.x

    fine, coarse, coarser = (end(steps, path(0, sigma_max=3.0)) for steps in (64, 16, 4))
    assert (fine - coarse).std() < 0.15 * fine.std()
    assert (fine - coarser).std() > 2 * (fine - coarse).std()
    other = end(64, ItemNoise(7, [(0,)], (1, 40), MACHINE))
    assert (fine - other).std() > 0.8 * fine.std()


Planned = Callable[..., tuple[RunConfig, Plan]]


def sampled(planned: Planned, solver: str, batch: int = 2, **settings: object) -> list[Tensor]:
    config, plan = planned(plugins=(solver,), **settings)
    sampler = Sampler.of(plan.assembly, plan.model, Machine.choose(config))
    requests = plan.assembly.task.requests((), 2)
    return [sound.audio for _, sound in sampler.sounds(requests, 3, 0, batch, "brownian")]


def test_a_sampler_makes_the_same_items_in_any_batch(planned: Planned) -> None:
    for one, other in zip(
        sampled(planned, "euler-maruyama"), sampled(planned, "euler-maruyama", 1), strict=True
    ):
        assert float((one - other).abs().max()) < 1e-2 * float(one.abs().max())


@pytest.mark.parametrize("solver", ["pc", "restart"])
def test_a_solver_that_noises_without_a_step_is_refused(planned: Planned, solver: str) -> None:
    with pytest.raises(UsageError, match="but a Brownian path goes down once; use --noise indepe"):
        sampled(planned, solver)


def test_a_deterministic_solver_is_not_concerned(planned: Planned) -> None:
    assert all(each.isfinite().all() for each in sampled(planned, "euler"))


def test_an_unknown_noise_is_one_sentence() -> None:
    result = CliRunner().invoke(main, ["run", "--noise", "pink"])
    assert result.exit_code == 2
    assert "'pink' is not one of 'independent', 'brownian'" in result.stderr


def test_a_run_records_the_noise_that_it_was_made_of(model: Path, tmp_path: Path) -> None:
    def run(name: str, *options: str) -> dict[str, object]:
        fixed = ["--model", str(model), "--plugins", "euler-maruyama", "--steps", "2", "-n", "1"]
        where = ["--out", str(tmp_path), "--name", name, "--device", "cpu"]
        result = CliRunner().invoke(main, ["run", *fixed, *where, *options])
        assert result.exit_code == 0, result.stderr
        record: dict[str, object] = json.loads((tmp_path / name / "run.json").read_text())
        return record

    brownian = run("brownian", "--noise", "brownian")
    assert brownian["config"]["noise"] == "brownian"  # type: ignore[index]
    assert run("independent")["config"]["noise"] == "independent"  # type: ignore[index]
    sounds = [
        next((tmp_path / name).glob("*.wav")).read_bytes() for name in ("brownian", "independent")
    ]
    assert sounds[0] != sounds[1]

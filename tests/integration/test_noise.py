"""A run whose noise lies on Brownian paths: the same in any batch, and in the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from torch import Tensor

from kernel import UsageError
from kernel.cli import main
from kernel.config import RunConfig
from kernel.runner.device import Machine
from kernel.runner.plan import Plan
from kernel.runner.sampling import Sampler

Planned = Callable[..., tuple[RunConfig, Plan]]


def sampled(planned: Planned, solver: str, batch: int = 2, **settings: object) -> list[Tensor]:
    config, plan = planned(plugins=(solver, "brownian"), **settings)
    sampler = Sampler.of(plan.assembly, plan.model, Machine.choose(config))
    requests = plan.assembly.task.requests((), 2)
    return [sound.audio for _, sound in sampler.sounds(requests, 3, 0, batch)]


def test_a_sampler_makes_the_same_items_in_any_batch(planned: Planned) -> None:
    for one, other in zip(
        sampled(planned, "euler-maruyama"), sampled(planned, "euler-maruyama", 1), strict=True
    ):
        assert float((one - other).abs().max()) < 1e-2 * float(one.abs().max())


@pytest.mark.parametrize("solver", ["pc", "restart"])
def test_a_solver_that_noises_without_a_step_is_refused(planned: Planned, solver: str) -> None:
    with pytest.raises(UsageError, match="but a Brownian path goes down once; choose another"):
        sampled(planned, solver)


def test_a_deterministic_solver_is_not_concerned(planned: Planned) -> None:
    assert all(each.isfinite().all() for each in sampled(planned, "euler"))


def test_a_run_records_the_noise_that_it_was_made_of(model: Path, tmp_path: Path) -> None:
    def run(name: str, plugins: str) -> dict[str, object]:
        fixed = ["--model", str(model), "--steps", "2", "-n", "1"]
        where = ["--out", str(tmp_path), "--name", name, "--device", "cpu"]
        result = CliRunner().invoke(main, ["run", *fixed, *where, "--plugins", plugins])
        assert result.exit_code == 0, result.stderr
        record: dict[str, object] = json.loads((tmp_path / name / "run.json").read_text())
        return record

    brownian = run("brownian", "euler-maruyama,brownian")
    assert brownian["wrapped"] == {
        "solver.euler-maruyama@kernel-audio-plugins": ["wrapper.brownian@kernel-audio-plugins"]
    }
    run("independent", "euler-maruyama")
    sounds = [
        next((tmp_path / name).glob("*.wav")).read_bytes() for name in ("brownian", "independent")
    ]
    assert sounds[0] != sounds[1]

"""Grids, steps and orders that cannot be: each is refused in one sentence, or does less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel import (
    AudioSpec,
    Backbone,
    Codec,
    Component,
    Condition,
    ConditionSpec,
    Context,
    Denoise,
    Guidance,
    LatentSpec,
    Request,
    Schedule,
    Solver,
    Task,
    UsageError,
    Window,
)
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig, load
from kernel.errors import MisfitError, PluginError
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.runner.grid import grid
from kernel.runner.sampling import Sampler
from kernel.values import GuidedDenoise
from kernel_audio_testing.exact import Gaussian
from kernel_plugins.objectives.bbed import Bbed
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.objectives.eps import Eps
from kernel_plugins.objectives.ouve import Ouve
from kernel_plugins.objectives.sb_ve import SbVe
from kernel_plugins.objectives.ve import Ve
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.deis import Deis
from kernel_plugins.solvers.dpm_3m import Dpm3M
from kernel_plugins.solvers.dpmpp_2m import DpmPP2M
from kernel_plugins.solvers.dpmpp_3m import DpmPP3M
from kernel_plugins.solvers.euler import Euler
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.lms import Lms
from kernel_plugins.solvers.pc import PredictorCorrector
from kernel_plugins.solvers.pndm import Pndm
from kernel_plugins.solvers.unipc import UniPC


class Given(Schedule):
    """Samples on whatever it is told to."""

    values: Any = ()

    def sigmas(self, steps: int) -> list[float]:
        return list(self.values)


class Plain(Task):
    """Asks for sounds of 5 samples."""

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return 5

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        return [Request(str(index), Window(5)) for index in range(count)]


class Identity(Codec):
    """Audio is its own latent."""

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        return LatentSpec(audio.channels, (samples,))

    def build(self, audio: AudioSpec) -> nn.Module:
        class Module(nn.Module):
            def decode(self, latent: Tensor, samples: int) -> Tensor:
                return latent

        return Module()


class Silent(Backbone):
    """Returns zeros."""

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        class Module(nn.Module):
            def prepare(self, condition: Condition) -> None: ...

            def forward(self, x: Tensor, c_noise: Tensor, condition: None) -> Tensor:
                return torch.zeros_like(x)

        return Module()


class Watch(Guidance):
    """Counts what is evaluated."""

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        def counted(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            CALLS.append(sigma)
            return denoise(x, sigma, condition)

        return counted


CALLS: list[float] = []


def assemble(*components: Component) -> Assembly:
    every = (*components, Plain(), Identity(), Silent(), Watch())
    return Assembly(
        tuple(
            Part(PluginInfo(each.kind, type(each).__name__.lower(), "tests", "1", "tests"), each)
            for each in every
        )
    )


def sample(assembly: Assembly, steps: int) -> Tensor:
    machine = Machine.choose(RunConfig(device="cpu"))
    network, codec = assembly.build_network(ConditionSpec()), assembly.build_codec()
    sampler = Sampler(assembly, ConditionSpec(), network, codec, machine)
    CALLS.clear()
    ((_, sound),) = sampler.sounds(assembly.task.requests((), 1), steps, 0, 1)
    return sound.audio


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([2.0, 3.0, 0.0], "goes from 2 to 3"),
        ([2.0, 2.0, 0.0], "goes from 2 to 2"),
        ([0.0, 1.0, 2.0], "goes from 0 to 1"),
        ([2.0, 1.0, 0.5], "ends at 0.5"),
        ([2.0, 1.0, -0.5], "ends at -0.5"),
        ([2.0, math.nan, 0.0], "holds nan"),
        ([math.inf, 1.0, 0.0], "holds inf"),
        ([2.0, 0.0], "has 2 values"),
        ([], "has 0 values"),
    ],
)
def test_a_schedule_with_a_bad_grid_is_named_before_anything_is_evaluated(values, fault):
    assembly = assemble(Edm(), Given(values=values), Euler())
    sentence = (
        f"^schedule.given made a grid of 2 steps that {fault}, where a solver needs 3 finite "
        f"sigmas that descend to 0; choose other options or another schedule$"
    )
    with pytest.raises(PluginError, match=sentence):
        sample(assembly, 2)
    assert CALLS == []


@pytest.mark.parametrize(
    ("options", "wrong", "fault"),
    [
        ({"sigma_max": 1e308, "std": 1.0}, "schedule.sigma_max=1e[+]308", "goes from 0 to 0"),
        ({"rho": 1e-9}, "schedule.rho=1e-09", r"cannot be computed \(OverflowError\)"),
        (
            {"rho": 1e-9, "sigma_max": 1e308},
            "schedule.rho=1e-09 and schedule.sigma_max=1e[+]308",
            r"cannot be computed \(OverflowError\)",
        ),
    ],
)
def test_a_grid_that_options_break_is_the_users_error_and_names_them(options, wrong, fault):
    assembly = assemble(Edm(), EdmSchedule(**options), Euler())
    with pytest.raises(UsageError, match=rf"^{wrong} makes a grid of 4 steps that {fault}, where"):
        grid(assembly, 4, assembly.latent)


def test_a_good_grid_is_taken_as_it_is():
    values = [2.0, 1.0, 0.0]
    assembly = assemble(Edm(), Given(values=values), Euler())
    assert grid(assembly, 2, assembly.latent) == values
    sample(assembly, 2)
    assert CALLS == [2.0, 1.0]


def test_a_run_of_no_steps_is_refused():
    with pytest.raises(UsageError, match=r"^setting 'steps' cannot be 0: .* greater than or equal"):
        load(RunConfig, None, {"steps": 0})
    assembly = assemble(Edm(), EdmSchedule(), Euler())
    with pytest.raises(UsageError, match="cannot make a grid of 0 steps; ask for at least 1"):
        sample(assembly, 0)


@pytest.mark.parametrize("solver", [Euler(), Heun(), UniPC(predictor_order=4), Deis(points=4)])
def test_a_run_of_one_step_returns_what_the_denoiser_sees_in_noise(solver):
    sound = sample(assemble(Edm(), EdmSchedule(), solver), 1)
    assert CALLS == [80.0]
    # The network is silent: D is c_skip x, of x = sigma n.
    assert float(sound.abs().max()) < 5 * Edm().precondition(80.0).c_skip * 80 / Edm().sigma_data


@pytest.mark.parametrize("objective", [Edm(), Eps(), Ve()], ids=lambda each: type(each).__name__)
def test_a_solver_of_native_time_needs_an_objective_that_has_one(objective):
    assembly = assemble(objective, EdmSchedule(), PredictorCorrector(predictor="native"))
    with pytest.raises(
        MisfitError,
        match=r"^solver.predictorcorrector needs 'path', which none of objective.* offers; choose "
        r"an objective that is defined in a native time of its own$",
    ):
        assembly.check(frozenset())


NATIVE = [Bbed(), Ouve(), SbVe()]


@pytest.mark.parametrize("objective", NATIVE, ids=lambda each: type(each).__name__)
def test_an_objective_with_a_native_time_is_enough(objective):
    native = PredictorCorrector(predictor="native")
    assemble(objective, EdmSchedule(), native).check(frozenset({"origin"}))


def test_a_solver_that_was_told_of_no_process_says_so():
    trajectory = PredictorCorrector(predictor="native").trajectory(
        lambda x, sigma: x, torch.ones(1, 1, 3), [2.0, 1.0, 0.0], lambda *_: torch.ones(1, 1, 3)
    )
    with pytest.raises(UsageError, match="native' was given no process to step in the time of"):
        next(trajectory)


def _end(solver: Solver, denoise: Denoise, steps: int) -> Tensor:
    x = torch.tensor([[[30.0, -7.0, 12.0]]], dtype=torch.float64)
    trajectory = solver.trajectory(denoise, x, EdmSchedule().sigmas(steps), lambda *_: x)
    step = next(trajectory)
    while step.sigma > 0:
        step = trajectory.send(step.x)
    return step.x


@pytest.mark.parametrize(
    ("high", "low", "steps"),
    [
        (UniPC(predictor_order=4), UniPC(predictor_order=1), 2),
        (UniPC(predictor_order=4), UniPC(predictor_order=2), 4),
        (Deis(points=4), Deis(points=2), 3),
        (Dpm3M(), Deis(points=2), 3),
        (DpmPP3M(), DpmPP2M(exact=True), 3),
        (Lms(slopes=4), Lms(slopes=3), 3),
        (Pndm(slopes=4), Pndm(slopes=3), 3),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Solver) else str(value),
)
def test_an_order_above_what_the_steps_allow_is_that_of_the_steps(high, low, steps):
    data = Gaussian(torch.full((1, 3), 0.4).double(), torch.tensor([0.3, 1.0, 2.0]).double())
    found, wanted = (_end(solver, data.denoise, steps) for solver in (high, low))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)

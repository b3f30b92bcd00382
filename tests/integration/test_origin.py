"""Processes that drift to an origin, through the sampler, the trainer and their own recursion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kernel import (
    AudioSpec,
    Backbone,
    Component,
    Condition,
    ConditionSpec,
    Item,
    LatentSpec,
    Objective,
    Prepared,
    Request,
    Schedule,
    Solver,
    Task,
    Window,
)
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.runner.sampling import Sampler
from kernel.seeds import ItemNoise
from kernel_audio_testing.exact import Gaussian
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.trainer import Trainer
from kernel_plugins.codecs.waveform import Waveform
from kernel_plugins.objectives.bbed import Bbed
from kernel_plugins.objectives.ouve import Ouve
from kernel_plugins.objectives.sb_ve import SbVe
from kernel_plugins.recipes.denoise import Denoise
from kernel_plugins.schedules.bbed import BbedSchedule
from kernel_plugins.schedules.ouve import OuveSchedule
from kernel_plugins.schedules.sb_ve import SbVeSchedule
from kernel_plugins.solvers.heun import Heun
from kernel_plugins.solvers.pc import PredictorCorrector

SAMPLES = 200
MEAN, STD = 0.4, 0.6
MACHINE = Machine.choose(RunConfig(device="cpu"))
PROCESSES = [
    (Ouve(), OuveSchedule()),
    (Bbed(), BbedSchedule(t_max=0.95)),
    (SbVe(), SbVeSchedule(t_max=0.99)),
]
processes = pytest.mark.parametrize(
    ("objective", "schedule"), PROCESSES, ids=lambda each: type(each).__name__
)


def recording(index: int) -> Tensor:
    """Return an origin [1, 1, SAMPLES] that has nothing to do with the data."""
    draws = torch.Generator().manual_seed(1000 + index)
    return 1.5 + 0.3 * torch.randn(1, 1, SAMPLES, generator=draws)


class Noisy(Task):
    """Starts from recordings; its data is Gaussian."""

    @property
    def offers(self) -> frozenset[str]:
        return frozenset({"origin"})

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return SAMPLES

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        return [
            Request(str(index), Window(SAMPLES, origin=recording(index)[0]))
            for index in range(count)
        ]


class Data:
    """Gaussian clean data with an origin each."""

    def __len__(self) -> int:
        return 64

    def item(self, index: int, generator: torch.Generator) -> Item:
        clean = MEAN + STD * torch.randn(1, SAMPLES, generator=generator)
        return Item(SAMPLES, clean, origin=recording(index)[0])


class Exact(Backbone):
    """Returns what makes D the exact E[x0 | x], of x_t and t alone, as a perfect network would."""

    objective: Any

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        objective, path = self.objective, self.objective.path
        data = Gaussian(torch.tensor(MEAN), torch.tensor(STD))

        class Module(nn.Module):
            def prepare(self, condition: Condition) -> Tensor | None:
                return condition.origin

            def forward(self, given: Tensor, c_noise: Tensor, origin: Tensor) -> Tensor:
                sigma = path.sigma(float(c_noise[0].double()))
                scale = objective.precondition(sigma)
                x = (given - scale.c_origin * origin) / scale.c_in
                answer: Tensor = (data.denoise(x, sigma) - scale.c_skip * x) / scale.c_out
                return answer

        return Module()


class Predicting(Exact):
    """Predicts the origin before it generates: the recording, softer."""

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        module = super().build(latent, condition)

        def prepare(condition: Condition) -> Prepared:
            assert condition.origin is not None
            return Prepared(0.5 * condition.origin, 0.5 * condition.origin)

        module.prepare = prepare  # type: ignore[assignment]
        return module


class Affine(Backbone):
    """Returns w times its input plus v: the best of them is known."""

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        class Module(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.w, self.v = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

            def prepare(self, condition: Condition) -> None: ...

            def forward(self, x: Tensor, c_noise: Tensor, condition: None) -> Tensor:
                return self.w * x + self.v

        return Module()


class Constant(Schedule):
    """Trains at one sigma."""

    value: float

    @property
    def sigma_min(self) -> float:
        return self.value

    @property
    def sigma_max(self) -> float:
        return self.value

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.full((count,), self.value)


def assemble(*components: Component) -> Assembly:
    every = (*components, Noisy(), Waveform(std=1.0), Denoise())
    return Assembly(
        tuple(
            Part(PluginInfo(each.kind, type(each).__name__.lower(), "tests", "1", "tests"), each)
            for each in every
        )
    )


def sample(assembly: Assembly, steps: int, count: int = 2) -> Tensor:
    assembly.check(frozenset())
    network, codec = assembly.build_network(ConditionSpec()), assembly.build_codec()
    sampler = Sampler(assembly, ConditionSpec(), network, codec, MACHINE)
    requests = assembly.task.requests((), count)
    return torch.stack([sound.audio for _, sound in sampler.sounds(requests, steps, 0, count)])


@processes
def test_a_run_follows_the_flow_from_the_origin_with_noise(
    objective: Objective, schedule: Schedule
) -> None:
    found = sample(
        assemble(objective, schedule, Heun(leap_ratio=None), Exact(objective=objective)), 100
    )
    sigma, *_, last, _ = schedule.sigmas(100)
    noise = ItemNoise(0, [(0,), (1,)], (1, SAMPLES), MACHINE.put)(sigma, sigma)
    start = torch.cat([recording(0), recording(1)]) + sigma * noise
    data = Gaussian(torch.tensor(MEAN), torch.tensor(STD))
    wanted = data.denoise(data.flow(start, sigma, last), last)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.005)


@processes
@pytest.mark.parametrize(
    "solver", [Heun(leap_ratio=None), PredictorCorrector(predictor="native", corrections=0)]
)
def test_a_run_starts_from_the_origin_that_a_network_predicts(
    objective: Objective, schedule: Schedule, solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sample(assemble(objective, schedule, solver, Predicting(objective=objective)), 4)
    plain = Exact(objective=objective)
    told = sample(assemble(objective, schedule, solver, plain), 4)
    here = recording
    monkeypatch.setitem(globals(), "recording", lambda index: 0.5 * here(index))
    wanted = sample(assemble(objective, schedule, solver, plain), 4)
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found, told, atol=1e-3)


@processes
@pytest.mark.parametrize("corrections", [0, 1])
def test_the_native_predictor_ends_at_the_data(
    objective: Objective, schedule: Schedule, corrections: int
) -> None:
    solver = PredictorCorrector(predictor="native", corrections=corrections, snr=0.2)
    found = sample(assemble(objective, schedule, solver, Exact(objective=objective)), 200, 8)
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.25)
    assert float(found.std()) == pytest.approx(STD, rel=0.15)


@processes
def test_training_gives_the_network_the_state_of_the_process(
    objective: Objective, schedule: Schedule, tmp_path: Path
) -> None:
    """Regress the target on the input: the least squares of the process's own moments."""
    sigma = objective.path.sigma(0.5)  # type: ignore[union-attr]
    assembly = assemble(objective, Constant(value=sigma), Affine())
    settings = {"steps": 250, "batch": 8, "learning_rate": 0.1, "warmup": 1, "weight_decay": 0.0}
    config = TrainConfig.model_validate({**settings, "ema": 0.0, "out": tmp_path, "device": "cpu"})
    trainer = Trainer(assembly, Data(), config, MACHINE)
    trainer.run(tmp_path)

    scale = objective.precondition(sigma)
    a, b = scale.c_in, scale.c_origin
    y = torch.cat([recording(index) for index in range(64)])
    target_of_x0 = (1 - scale.c_skip) / scale.c_out
    target_of_noise = -scale.c_skip * sigma / scale.c_out
    covariance = a * (target_of_x0 * STD**2 + target_of_noise * sigma)
    w = covariance / (a**2 * (STD**2 + sigma**2) + b**2 * float(y.var()))
    v = target_of_x0 * MEAN - w * (a * MEAN + b * float(y.mean()))
    found = [float(each.detach()) for each in trainer.exports["backbone"].parameters()]
    assert found == pytest.approx([w, v], abs=0.04)


def published(
    score: Any, x: Tensor, y: Tensor, times: Sequence[float], normals: Sequence[Tensor], snr: float
) -> list[Tensor]:
    """Return the states of SGMSE+'s predictor-corrector sampler, in its own x_t and t.

    Richter et al. 2023, algorithm 1, with annealed Langevin dynamics and the reverse diffusion
    predictor: theta 1.5, sigma from 0.05 to 0.5.
    """
    theta, low, high = 1.5, 0.05, 0.5
    growth = math.log(high / low)
    states = []
    draws = iter(normals)
    for t, following in pairwise(times):
        rise = math.exp(2 * (theta + growth) * t) - 1
        std = math.sqrt(low**2 * math.exp(-2 * theta * t) * rise * growth / (theta + growth))
        step = 2 * (snr * std) ** 2
        x = x + step * score(x, t) + math.sqrt(2 * step) * next(draws)
        diffusion = low * (high / low) ** t * math.sqrt(2 * growth)
        step = t - following
        x = x - (theta * (y - x) - diffusion**2 * score(x, t)) * step
        x = x + diffusion * math.sqrt(step) * next(draws)
        states.append(x)
    return states


def test_the_native_predictor_is_that_of_sgmse() -> None:
    objective = Ouve()
    draws = torch.Generator().manual_seed(0)
    shape = (2, 1, 16)
    y, *normals = torch.randn(65, *shape, generator=draws, dtype=torch.float64)
    data = Gaussian(*(torch.full((1, 16), each, dtype=torch.float64) for each in (MEAN, STD)))
    times = [1 + (0.03 - 1) * index / 29 for index in range(30)]

    def scales(t: float) -> tuple[float, float]:
        return math.exp(-1.5 * t), objective.path.sigma(t)

    def score(x: Tensor, t: float) -> Tensor:
        """Return that of x_t = a x0 + (1 - a) y + s n for the Gaussian x0."""
        a, sigma = scales(t)
        variance = a**2 * (STD**2 + sigma**2)
        return (a * MEAN + (1 - a) * y - x) / variance

    a, sigma = scales(1.0)
    start = y + sigma * normals[0]
    wanted = published(score, a * start + (1 - a) * y, y, times, normals[1:], 0.5)

    solver = PredictorCorrector(predictor="native").along(objective.path, y)
    sigmas = [*(objective.path.sigma(t) for t in times), 0.0]
    given = iter(normals[1:])
    trajectory = solver.trajectory(data.denoise, start, sigmas, lambda *_: next(given))
    step = next(trajectory)
    for state, t in zip(wanted, times[1:], strict=True):
        a, sigma = scales(t)
        assert step.sigma == sigma
        torch.testing.assert_close(a * step.x + (1 - a) * y, state, rtol=1e-9, atol=1e-9)
        if t != times[-1]:
            step = trajectory.send(step.x)
    assert len(wanted) == 29

"""Where a run starts: with the variance that its process ends with."""

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
    Condition,
    ConditionSpec,
    LatentSpec,
    Objective,
    Request,
    Task,
    Window,
)
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.runner.sampling import Sampler
from kernel_plugins.codecs.waveform import Waveform
from kernel_plugins.objectives.bbed import Bbed
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.objectives.eps import Eps
from kernel_plugins.objectives.ouve import Ouve
from kernel_plugins.objectives.rf import Rf
from kernel_plugins.objectives.sb_ve import SbVe
from kernel_plugins.objectives.v import V
from kernel_plugins.objectives.ve import Ve
from kernel_plugins.objectives.vp import Vp
from kernel_plugins.objectives.x0 import X0
from kernel_plugins.schedules.discrete import DiscreteSchedule
from kernel_plugins.solvers.ddpm import Ddpm
from kernel_plugins.solvers.heun import Heun

SAMPLES = 20_000
DIFFWAVE = DiscreteSchedule(levels=50, beta_first=1e-4, beta_last=0.05)
PRESERVING = [Eps(), V(), Vp(), X0()]


class Anything(Task):
    """Wants sounds and says nothing of them."""

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return SAMPLES

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        return [Request(str(index), Window(SAMPLES)) for index in range(count)]


class White(Backbone):
    """Returns what makes D exact for data N(0, 1), from the network's input and c_noise alone."""

    objective: Any
    levels: tuple[float, ...]

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        objective, levels = self.objective, self.levels
        told = {float(torch.tensor(objective.precondition(s).c_noise)): s for s in levels}

        class Module(nn.Module):
            def prepare(self, condition: Condition) -> None: ...

            def forward(self, given: Tensor, c_noise: Tensor, condition: None) -> Tensor:
                sigma = told[float(c_noise[0])]
                scale = objective.precondition(sigma)
                x = given / scale.c_in
                answer: Tensor = (x / (1 + sigma**2) - scale.c_skip * x) / scale.c_out
                return answer

        return Module()


@pytest.mark.parametrize("objective", PRESERVING, ids=repr)
@pytest.mark.parametrize("solver", [Ddpm(variance="data"), Heun()], ids=repr)
def test_diffwaves_chain_ends_with_the_variance_of_the_data(
    objective: Objective, solver: Any
) -> None:
    """Its last alpha-bar is 0.28, so that sigma alone is 0.849 of what x has to start with."""
    assert DIFFWAVE.sigma_max / math.hypot(DIFFWAVE.sigma_max, 1) == pytest.approx(0.849, abs=1e-3)
    levels = tuple(DIFFWAVE.sigmas(50)[:-1])
    parts = (objective, DIFFWAVE, solver, White(objective=objective, levels=levels))
    assembly = Assembly(
        tuple(
            Part(PluginInfo(each.kind, type(each).__name__.lower(), "tests", "1", "tests"), each)
            for each in (*parts, Anything(), Waveform(std=1.0))
        )
    )
    network, codec = assembly.build_network(ConditionSpec()), assembly.build_codec()
    machine = Machine.choose(RunConfig(device="cpu"))
    sampler = Sampler(assembly, ConditionSpec(), network, codec, machine)
    ((_, sound),) = sampler.sounds(assembly.task.requests((), 1), 50, 0, 1)
    # The last step takes the mean of x0 and leaves out the variance of 1e-4 around it.
    assert float(sound.audio.square().mean()) == pytest.approx(1, abs=4 * math.sqrt(2 / SAMPLES))


@pytest.mark.parametrize("objective", [*PRESERVING, V(sigma_data=0.5)], ids=repr)
def test_a_process_that_preserves_variance_shows_its_network_unit_variance(
    objective: Objective,
) -> None:
    for sigma in (0.1, 1.6, 100.0):
        assert objective.start(sigma) * objective.precondition(sigma).c_in == pytest.approx(1)


@pytest.mark.parametrize("objective", [Bbed(), Edm(), Ouve(), Rf(), SbVe(), Ve()], ids=repr)
def test_every_other_process_starts_with_noise_alone(objective: Objective) -> None:
    assert objective.start(1.6) == 1.6

"""Every two guidances act together, and the order in which they are named does not matter.

They are read from the registry and run through the sampler, around a small network that has not
been trained, towards a sound whose first half is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations, permutations
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
    Item,
    LatentSpace,
    LatentSpec,
    Measurement,
    Request,
    Task,
    Window,
)
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.registry import PluginInfo, Registry
from kernel.runner.device import Machine
from kernel.runner.sampling import Sampler
from kernel_plugins.codecs.waveform import Waveform
from kernel_plugins.objectives.edm import Edm
from kernel_plugins.schedules.edm import EdmSchedule
from kernel_plugins.solvers.heun import Heun

SAMPLES, KNOWN, STEPS = 24, 12, 4
OPTIONS: dict[str, dict[str, Any]] = {
    "autoguidance": {"model": "weaker"},
    "classifier": {"encoder": "timbre", "scale": 3.0},
    "dps": {"scale": 0.05},
    "dynamic-threshold": {"limit": 0.3},
    "guidance-gradient": {"xi": 0.3},
    "moments": {"iterations": 1, "tolerance": 3.0, "scale": 0.1},
}
registry = Registry.scan()
NAMES = sorted(
    info.name
    for info in registry.plugins
    if info.kind == "guidance" and info.distribution == "kernel-audio-plugins"
)
MACHINE = Machine.choose(RunConfig(device="cpu"))


class Told(Task):
    """Ask for two sounds with a vector each; the first half of both is known."""

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return SAMPLES

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(vector=2)

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        told = torch.eye(2)
        return [Request(str(i), Window(SAMPLES, vector=told[i])) for i in range(count)]

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement:
        target = torch.linspace(-0.4, 0.4, KNOWN).expand(len(items), 1, -1)

        def distance(found: Tensor, target: Tensor) -> Tensor:
            return (found - target).abs().flatten(1).mean(1)

        def project(x0: Tensor) -> Tensor:
            return torch.cat([target, x0[..., KNOWN:]], -1)

        return Measurement(lambda x0: x0[..., :KNOWN], target, distance, project)


class Small(Backbone):
    """Two layers with random weights, which the condition shifts."""

    seed: int = 0

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        class Module(nn.Module):
            def __init__(self, seed: int) -> None:
                super().__init__()
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(seed)
                    self.inner = nn.Linear(SAMPLES, 32)
                    self.outer = nn.Linear(32, SAMPLES)
                    self.told = nn.Linear(condition.vector, 32, bias=False)

            def prepare(self, condition: Condition) -> Tensor:
                found: Tensor = self.told(condition.vector)[:, None]
                return found

            def forward(self, x: Tensor, c_noise: Tensor, condition: Tensor) -> Tensor:
                hidden = self.inner(x) + condition + c_noise.view(-1, 1, 1)
                found: Tensor = self.outer(hidden.tanh())
                return found

        return Module(self.seed)


def classes(audio: Tensor, sample_rate: int) -> Tensor:
    return torch.stack([audio.mean((1, 2)), audio.square().mean((1, 2))], 1)


@pytest.fixture(autouse=True)
def _ears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.runner.sampling.encoders", lambda *_: lambda spelling: classes)
    # The network is not trained: what is as large as it likes need not be wrong.
    monkeypatch.setattr("kernel.runner.health.LIMIT", 1e6)


@cache
def sounds(*names: str) -> Tensor:
    """Return what is made with guidances named in this order."""
    guidances = [
        Part(info, registry.load(info).model_validate(OPTIONS.get(info.name, {})))
        for name in names
        for info in [registry.pick(f"guidance.{name}", "guidance")]
    ]
    parts = (Edm(), EdmSchedule(), Heun(), Small(), Waveform(std=1.0), Told())
    others = [
        Part(PluginInfo(each.kind, type(each).__name__.lower(), "tests", "1", "tests"), each)
        for each in parts
    ]
    ear = registry.pick("timbre", "encoder")
    assembly = Assembly((*others, *guidances, Part(ear, registry.load(ear)())))
    assembly.check(frozenset({"gradient", "measurement", "null-condition"}))
    network, spec = assembly.build_network(ConditionSpec(vector=2)), ConditionSpec(vector=2)
    small = Small(seed=1)
    other = (Edm(), small, small.build(assembly.latent, spec))
    sampler = Sampler(assembly, spec, network, assembly.build_codec(), MACHINE, (), lambda _: other)
    made = sampler.sounds(assembly.task.requests((), 2), STEPS, 0, 2)
    return torch.stack([sound.audio for _, sound in made])


@pytest.mark.parametrize("pair", list(combinations(NAMES, 2)), ids="-".join)
def test_the_order_of_naming_does_not_matter_and_both_act(pair: tuple[str, str]) -> None:
    together = sounds(*pair)
    assert together.equal(sounds(*reversed(pair)))
    for alone in pair:
        assert (together - sounds(alone)).abs().max() > 1e-4


def test_every_guidance_acts() -> None:
    for name in NAMES:
        assert (sounds(name) - sounds()).abs().max() > 1e-4, name


def test_three_in_any_order_make_the_same_sound() -> None:
    names = ("cfg", "dps", "dynamic-threshold")
    first, *others = (sounds(*order) for order in permutations(names))
    assert all(first.equal(other) for other in others)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"projection"}))
def test_what_is_known_is_exact_with_projection_beside_any_other(name: str) -> None:
    known = torch.linspace(-0.4, 0.4, KNOWN) / Edm().sigma_data
    found = sounds(name, "projection")[..., :KNOWN]
    torch.testing.assert_close(found, known.expand_as(found), rtol=0, atol=1e-6)

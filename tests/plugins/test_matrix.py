"""Every pair of shipped components makes sound together, through the runner's own sampler.

The parts are read from the registry, so that a new plugin takes part by being installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import torch

from kernel import AudioSpec, Condition, ConditionSpec, Request, Task
from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.registry import PluginInfo, Registry
from kernel.runner.device import Machine
from kernel.runner.sampling import Sampler

STEPS = 3
SMALL: dict[str, dict[str, Any]] = {
    "backbone.dit": {"width": 16, "depth": 1, "heads": 2},
    "backbone.unet": {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention_levels": (1,)},
    "codec.mel": {"bands": 12, "griffin_lim_iters": 2, "inversion_iters": 2},
    "codec.stft": {"n_fft": 64, "hop": 32},
}
KINDS = ("objective", "schedule", "solver", "guidance", "backbone", "codec")

registry = Registry.scan()
ours = [info for info in registry.plugins if info.distribution == "kernel-audio-plugins"]

Choice = tuple[PluginInfo | None, ...]
"""One plugin of each of KINDS; None is no guidance."""


class Asked(Task):
    """Ask for short sounds with a vector, so that guidances have a condition to drop."""

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(16000)

    @property
    def samples(self) -> int:
        return 801

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(vector=3)

    def requests(self, inputs: Sequence[Path], count: int) -> list[Request]:
        return [
            Request(str(index), self.samples, Condition(vector=torch.eye(3)[index, None]))
            for index in range(count)
        ]


def component(info: PluginInfo) -> Any:
    return registry.load(info).model_validate(SMALL.get(info.spelling, {}))


def fit(choice: Choice) -> bool:
    """Return whether the backbone takes the codec's latents, which a run checks first."""
    backbone, codec = (component(info) for info in choice[-2:] if info is not None)
    return codec.latent(Asked().audio, Asked().samples).dims in backbone.dims


def pairs(choice: Choice) -> set[tuple[Any, Any]]:
    return set(combinations(enumerate(choice), 2))


def covering() -> Iterator[Choice]:
    """Yield choices, each with the most pairs that are new, until every pair that fits was seen."""
    parts: list[list[PluginInfo | None]] = [
        [*(None for _ in range(kind == "guidance")), *(i for i in ours if i.kind == kind)]
        for kind in KINDS
    ]
    candidates = [choice for choice in product(*parts) if fit(choice)]
    missing = set[tuple[Any, Any]]().union(*map(pairs, candidates))
    while missing:
        best = max(candidates, key=lambda choice: len(pairs(choice) & missing))
        missing -= pairs(best)
        yield best


def name(choice: Choice) -> str:
    return "-".join("none" if info is None else info.name for info in choice)


CHOICES = list(covering())


@pytest.mark.parametrize("choice", CHOICES, ids=name)
def test_a_combination_makes_sound(choice: Choice) -> None:
    task = Asked()
    parts = [Part(info, component(info)) for info in choice if info is not None]
    asked = PluginInfo("task", "asked", "tests", "1", "tests")
    assembly = Assembly((*parts, Part(asked, task)))
    assembly.check(frozenset({"null-condition"}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = assembly.build_network(task.condition)
        with torch.no_grad():
            # Networks start as zero, which would hide what becomes of their output.
            for parameter in network.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
    machine = Machine.choose(RunConfig(device="cpu"))
    sampler = Sampler(assembly, task.condition, network, assembly.build_codec(), machine)
    sounds = list(sampler.sounds(task.requests((), 2), STEPS, seed=0, batch=2))
    assert [tuple(sound.audio.shape) for sound in sounds] == [(1, task.samples)] * 2
    for sound in sounds:
        assert sound.audio.isfinite().all() and sound.audio.any()
    assert not torch.equal(sounds[0].audio, sounds[1].audio)
    assert sampler.evaluations == assembly.solver.nfe(STEPS)


def test_every_pair_that_fits_is_covered() -> None:
    seen = set[tuple[Any, Any]]().union(*map(pairs, CHOICES))
    for (place, kind), (other, another) in combinations(enumerate(KINDS), 2):
        for one, two in product(*([i for i in ours if i.kind == k] for k in (kind, another))):
            misfit = (kind, another) == KINDS[-2:] and not fit((one, two))
            assert ((place, one), (other, two)) in seen or misfit

"""Every pair of shipped components makes sound together, through the runner's own sampler.

The parts are read from the registry, so that a new plugin takes part by being installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from kernel import AudioSpec, ConditionSpec, Item, LatentSpace, Measurement, Request, Task, Window
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
    "guidance.autoguidance": {"model": "weaker"},
    "guidance.classifier": {"encoder": "timbre"},
    # The Jacobian of a random network is no covariance.
    "guidance.moments": {"iterations": 1, "tolerance": 3.0, "scale": 0.05},
    "solver.rk45": {"rtol": 0.01, "atol": 0.01},
}
OTHERWISE = {"autoguidance", "langevin"}
"""Guidances that evaluate more than the solver does."""
KINDS = ("objective", "schedule", "solver", "guidance", "backbone", "codec")

registry = Registry.scan()
EAR = registry.pick("timbre", "encoder")
ours = [info for info in registry.plugins if info.distribution == "kernel-audio-plugins"]

Choice = tuple[PluginInfo | None, ...]
"""One plugin of each of KINDS; None is no guidance."""


class Asked(Task):
    """Ask for short sounds with a vector to drop and a latent whose first half is known."""

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
            Request(str(index), Window(self.samples, vector=torch.eye(3)[index]))
            for index in range(count)
        ]

    def measure(self, items: Sequence[Item], space: LatentSpace) -> Measurement:
        half = space.latent.size[-1] // 2
        target = torch.zeros(len(items), *space.latent.shape)[..., :half]

        def distance(found: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return (found - target).abs().flatten(1).mean(1)

        def project(x0: torch.Tensor) -> torch.Tensor:
            return torch.cat([target, x0[..., half:]], -1)

        return Measurement(lambda x0: x0[..., :half], target, distance, project)


def classes(audio: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Return logits that favour loud sounds."""
    loudness = audio.square().mean((1, 2))
    return torch.stack([loudness, -loudness], 1)


def asked(assembly: Assembly) -> list[Request]:
    """Return two requests, with an origin where the objective needs one."""
    requests = assembly.task.requests((), 2)
    if "origin" not in assembly.objective.needs:
        return requests
    draws = torch.Generator().manual_seed(0)
    origin = 0.1 * torch.randn(1, assembly.task.samples, generator=draws)
    return [
        attrs.evolve(request, window=attrs.evolve(request.window, origin=origin))
        for request in requests
    ]


PARTS: list[list[PluginInfo | None]] = [
    [*(None for _ in range(kind == "guidance")), *(info for info in ours if info.kind == kind)]
    for kind in KINDS
]


def component(info: PluginInfo) -> Any:
    return registry.load(info).model_validate(SMALL.get(info.spelling, {}))


def fit(backbone: PluginInfo, codec: PluginInfo) -> bool:
    """Return whether the backbone takes the codec's latents, which a run checks first."""
    latent = component(codec).latent(Asked().audio, Asked().samples)
    return latent.dims in component(backbone).dims


FITTING = {two for two in product(*PARTS[-2:]) if fit(*two)}  # type: ignore[arg-type]


def pairs(choice: Choice) -> set[tuple[Any, Any]]:
    return set(combinations(enumerate(choice), 2))


def possible(choice: dict[int, PluginInfo | None]) -> bool:
    """Return whether what was chosen so far fits: the last two of KINDS have to."""
    chosen = (choice.get(place) for place in (len(KINDS) - 2, len(KINDS) - 1))
    backbone, codec = chosen
    return backbone is None or codec is None or (backbone, codec) in FITTING


def covering() -> Iterator[Choice]:
    """Yield choices that see every pair that fits.

    Each begins with a pair that is new; every further kind takes the part that makes most new pairs
    with what was chosen before.
    """
    missing = {
        pair
        for (place, parts), (other, others) in combinations(enumerate(PARTS), 2)
        for pair in product(((place, part) for part in parts), ((other, part) for part in others))
        if possible(dict(pair))
    }
    while missing:
        choice = dict(min(missing, key=str))
        for place, parts in enumerate(PARTS):
            if place not in choice:
                fitting = [part for part in parts if possible({**choice, place: part})]
                choice[place] = max(
                    fitting,
                    key=lambda part: sum(
                        tuple(sorted(((place, part), (other, chosen)), key=lambda each: each[0]))
                        in missing
                        for other, chosen in choice.items()
                    ),
                )
        found = tuple(choice[place] for place in range(len(PARTS)))
        missing -= pairs(found)
        yield found


def name(choice: Choice) -> str:
    return "-".join("none" if info is None else info.name for info in choice)


CHOICES = list(covering())


@pytest.mark.parametrize("choice", CHOICES, ids=name)
def test_a_combination_makes_sound(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kernel.runner.sampling.encoders", lambda *_: lambda spelling: classes)
    # Nothing holds a network that was not trained back, so that it may be led anywhere.
    monkeypatch.setattr("kernel.runner.health.LIMIT", 1e9)
    task = Asked()
    parts = [Part(info, component(info)) for info in (*choice, EAR) if info is not None]
    assembly = Assembly((*parts, Part(PluginInfo("task", "asked", "tests", "1", "tests"), task)))
    assembly.check(frozenset({"gradient", "measurement", "null-condition", "origin"}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = assembly.build_network(task.condition)
        with torch.no_grad():
            # Networks start as zero, which would hide what becomes of their output.
            for parameter in network.parameters():
                parameter += 0.02 * torch.randn_like(parameter)
    machine = Machine.choose(RunConfig(device="cpu"))
    codec, weaker = assembly.build_codec(), assembly.build_network(task.condition)
    sampler = Sampler(
        assembly,
        task.condition,
        network,
        codec,
        machine,
        (),
        lambda _: (assembly.objective, assembly.backbone, weaker),
    )
    made = sampler.sounds(asked(assembly), STEPS, seed=0, batch=2)
    sounds = [sound for _, sound in made]
    assert [tuple(sound.audio.shape) for sound in sounds] == [(1, task.samples)] * 2
    for sound in sounds:
        assert sound.audio.isfinite().all() and sound.audio.any()
    assert not torch.equal(sounds[0].audio, sounds[1].audio)
    if "nfe" not in assembly.solver.shortfalls and not OTHERWISE & set(assembly.guidances):
        assert sampler.evaluations == assembly.solver.nfe(STEPS)


def test_every_pair_that_fits_is_covered() -> None:
    seen = set[tuple[Any, Any]]().union(*map(pairs, CHOICES))
    for (place, kind), (other, another) in combinations(enumerate(KINDS), 2):
        for one, two in product(*([i for i in ours if i.kind == k] for k in (kind, another))):
            misfit = (kind, another) == KINDS[-2:] and (one, two) not in FITTING
            assert ((place, one), (other, two)) in seen or misfit

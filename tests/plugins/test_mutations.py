"""The kit catches plausible mistakes: each is written into the shipped source and then looked for.

A mutation replaces one piece of text, which has to occur exactly once. The module is executed with
it under its own name, and so is the plugin's module, which the component is then taken from.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import kernel
from kernel.registry import PluginInfo, Registry
from kernel_audio_testing import Check, Subject, Violation, checks_for

COMPONENTS = "kernel.kinds.objective"
PLUGINS = "kernel_plugins"


@attrs.frozen
class Mutation:
    """What is wrong, where, and the checks that have to find it."""

    mistake: str
    spelling: str
    module: str
    old: str
    new: str
    checks: tuple[str, ...]
    options: Mapping[str, Any] = attrs.field(factory=dict)


class Mutated(Registry):
    """A registry that loads one class, whatever it is asked for."""

    component: Any = None

    def load(self, info: PluginInfo) -> Any:
        return self.component


MUTATIONS = (
    Mutation(
        "the loss is divided by the batch",
        "recipe.denoise",
        f"{PLUGINS}.recipes._denoise",
        'return {"network": loss}',
        'return {"network": loss / len(loss)}',
        ("items",),
    ),
    Mutation(
        "the mask is forgotten",
        "recipe.denoise",
        f"{PLUGINS}.recipes._denoise",
        "batch.mean(error)",
        "error.flatten(1).mean(1)",
        ("valid",),
    ),
    Mutation(
        "the network's output is clamped in training",
        "recipe.denoise",
        f"{PLUGINS}.recipes._denoise",
        "batch.condition) -",
        "batch.condition).clamp(-1, 1) -",
        ("exact",),
    ),
    Mutation(
        "sigma is squared in training",
        "recipe.denoise",
        f"{PLUGINS}.recipes._denoise",
        "batch.each(sigma) * batch.normal()",
        "batch.each(sigma).square() * batch.normal()",
        ("shown",),
    ),
    Mutation(
        "the sigmas of an item depend on its micro-batch",
        "recipe.denoise",
        f"{PLUGINS}.recipes._denoise",
        "batch.together(self._schedule.draw)",
        "batch.put(self._schedule.draw(len(batch.audio), batch.common))",
        ("items",),
    ),
    Mutation(
        "the learned weight is not trained",
        "recipe.denoise",
        f"{PLUGINS}.recipes._denoise",
        "list(self.parameters())",
        "[]",
        ("groups",),
        {"weighting": "learned"},
    ),
    Mutation(
        "a batch of sigmas is mistaken for one",
        "objective.edm",
        COMPONENTS,
        "each(scale.c_in) * x",
        "each(scale.c_in)[:1] * x",
        ("training_as_sampling",),
    ),
    Mutation(
        "x is overwritten",
        "objective.rf",
        COMPONENTS,
        "return estimate.add_(x, alpha=scale.c_skip)",
        "return x.mul_(scale.c_skip).add_(estimate)",
        ("pure",),
    ),
    Mutation(
        "sigma_data is forgotten in one term",
        "objective.edm",
        f"{PLUGINS}.objectives.edm",
        "total = sigma**2 + data**2",
        "total = sigma**2 + 1",
        ("input_scale",),
    ),
    Mutation(
        "the noise level is folded",
        "objective.rf",
        f"{PLUGINS}.objectives.rf",
        "c_noise=sigma / total",
        "c_noise=sigma / total**2",
        ("noise_level",),
    ),
    Mutation(
        "the grid stops at sigma_min",
        "schedule.edm",
        f"{PLUGINS}.schedules.edm",
        "for part in ramp), 0.0]",
        "for part in ramp), self.sigma_min]",
        ("ends_at_zero",),
    ),
    Mutation(
        "draws leave the range",
        "schedule.edm",
        f"{PLUGINS}.schedules.edm",
        ".exp().clamp(self.sigma_min, self.sigma_max)",
        ".exp()",
        ("draws",),
    ),
    Mutation(
        "draws are t where sigma is meant",
        "schedule.rf",
        f"{PLUGINS}.schedules.rf",
        "return (logit.exp() * self._middle)",
        "return (logit.sigmoid() * self._middle)",
        ("draws_cover",),
    ),
    Mutation(
        "the run stops at sigma_min",
        "solver.euler",
        f"{PLUGINS}.solvers.euler",
        "enumerate(pairwise(sigmas))",
        "enumerate(pairwise(sigmas[:-1]))",
        ("steps", "reaches_zero"),
    ),
    Mutation(
        "the state is overwritten",
        "solver.euler",
        f"{PLUGINS}.solvers.euler",
        "x = x0.lerp(x, down / sigma)",
        "x = x.lerp_(x0, 1 - down / sigma)",
        ("pure",),
    ),
    Mutation(
        "the corrector takes the slope at the old state",
        "solver.heun",
        f"{PLUGINS}.solvers.heun",
        "denoise(x0.lerp(x, inner / sigma), inner)",
        "denoise(x, sigma)",
        ("order",),
    ),
    Mutation(
        "churn adds the difference of the sigmas",
        "solver.heun",
        f"{PLUGINS}.solvers.heun",
        "math.sqrt(sigma**2 - start**2)",
        "(sigma - start)",
        ("distribution",),
        {"s_churn": 20.0},
    ),
    Mutation(
        "the last step is taken to be as long as this one",
        "solver.dpmpp-2m",
        f"{PLUGINS}.solvers._adams",
        "interval.node(sigmas[index - k])",
        "float(-k)",
        ("order",),
    ),
    Mutation(
        "the correction is lost",
        "solver.unipc",
        f"{PLUGINS}.solvers.unipc",
        "tuple(interval.scale * late + new for",
        "tuple(new for",
        ("order",),
    ),
    Mutation(
        "the condition is dropped where there is no guidance",
        "guidance.cfg",
        f"{PLUGINS}.guidance.cfg",
        "return denoise(x, sigma, condition)",
        "return denoise(x, sigma, condition.dropped())",
        ("condition",),
        {"sigma_low": 0.2, "sigma_high": 5.0},
    ),
    Mutation(
        "the condition of the first evaluation serves the second",
        "guidance.cfg",
        f"{PLUGINS}.guidance.cfg",
        "            if condition not in branches:\n",
        '            condition = vars(guided).setdefault("first", condition)\n'
        "            if condition not in branches:\n",
        ("condition",),
    ),
    Mutation(
        "the rescaling is of the whole batch",
        "guidance.cfg",
        f"{PLUGINS}.guidance.cfg",
        "axes = tuple(range(1, guided.ndim))",
        "axes = tuple(range(guided.ndim))",
        ("batch",),
        {"rescale": 0.5},
    ),
    Mutation(
        "no guidance is taken for no condition",
        "guidance.cfg",
        f"{PLUGINS}.guidance.cfg",
        "            return denoise\n",
        "            return lambda x, sigma, c: denoise(x, sigma, c.dropped())\n",
        ("neutral",),
    ),
    Mutation(
        "the weaker model is not told the condition",
        "guidance.autoguidance",
        f"{PLUGINS}.guidance.autoguidance",
        "weaker(x, sigma, condition)",
        "weaker(x, sigma, condition.dropped())",
        ("condition",),
        {"model": "weak"},
    ),
    Mutation(
        "the gradient is that of the mean of the batch",
        "guidance.classifier",
        f"{PLUGINS}.guidance.classifier",
        "pull(surprise)",
        "pull(surprise.mean().expand(len(x)) / len(x))",
        ("batch",),
        {"encoder": "digits"},
    ),
    Mutation(
        "the loudest item of the batch is the measure of all",
        "guidance.dynamic-threshold",
        f"{PLUGINS}.guidance.dynamic_threshold",
        "largest = largest.view(",
        "largest = largest.amax().expand(len(x0)).reshape(",
        ("batch",),
        {"limit": 0.2, "quantile": 0.5},
    ),
    Mutation(
        "an item is normalised with its neighbours",
        "backbone.dit",
        f"{PLUGINS}.backbones._dit",
        "F.layer_norm(x, x.shape[-1:])",
        "F.layer_norm(x, x.shape)",
        ("items_apart",),
        {"width": 16, "depth": 1, "heads": 2},
    ),
    Mutation(
        "the mask of a sequence is forgotten",
        "backbone.unet",
        f"{PLUGINS}.backbones._unet",
        "memory, mask)\n        return x + told",
        "memory, None)\n        return x + told",
        ("mask", "null_condition"),
        {"width": 8, "blocks": 1},
    ),
    Mutation(
        "the padding is not cut off again",
        "backbone.unet",
        f"{PLUGINS}.backbones._unet",
        "return crop(unfolded(h, self.patch), x.shape[2:]).type_as(x)",
        "return unfolded(h, self.patch).type_as(x)",
        ("sizes",),
        {"width": 8, "blocks": 1},
    ),
    Mutation(
        "a sound is late by a hop",
        "codec.waveform",
        f"{PLUGINS}.codecs._waveform",
        "return blocks.transpose(2, 3).flatten(2)[..., :samples]",
        "return pad(blocks.transpose(2, 3).flatten(2), (self.hop, 0))[..., :samples]",
        ("alignment",),
        {"fold": 16},
    ),
    Mutation(
        "the gradient at silence is no number",
        "codec.stft",
        f"{PLUGINS}.codecs._stft",
        ".clamp(min=linear**2)",
        "",
        ("silence",),
    ),
    Mutation(
        "a request depends on the global generator",
        "task.labelled",
        f"{PLUGINS}.tasks.labelled",
        "turn = turns[index % len(turns)]",
        "turn = __import__('random').choice(turns)",
        ("repeatable",),
    ),
    Mutation(
        "a crop depends on the global generator",
        "task.unconditional",
        f"{PLUGINS}.tasks._sounds",
        "wanted, generator)",
        "wanted, __import__('torch').default_generator)",
        ("dataset",),
        {"seconds": 0.2},
    ),
)

registry = Registry.scan()

# `kernel` looks a name up when it is first asked for, which has to be before anything is mutated.
PUBLIC = [getattr(kernel, name) for name in kernel.__all__]


def execute(name: str, monkeypatch: pytest.MonkeyPatch, old: str = "", new: str = "") -> ModuleType:
    """Execute a module's source, with a replacement in it, in place of the imported module."""
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).read_text("utf-8")
    assert not old or source.count(old) == 1, f"{old!r} is {source.count(old)} times in {name}"
    module = ModuleType(name)
    module.__file__, module.__package__ = spec.origin, name.rpartition(".")[0]
    # In place before it is executed: pydantic looks annotations up there.
    monkeypatch.setitem(sys.modules, name, module)
    exec(compile(source.replace(old, new) if old else source, spec.origin, "exec"), vars(module))
    return module


def subject(mutation: Mutation, new: str, monkeypatch: pytest.MonkeyPatch) -> Subject:
    """Return the plugin as a subject, with `new` in the place of the mutation's old text."""
    info = registry.pick(mutation.spelling, mutation.spelling.partition(".")[0])
    module = execute(mutation.module, monkeypatch, mutation.old, new)
    if mutation.module == COMPONENTS:
        monkeypatch.setattr(kernel, "Objective", module.Objective)
    offering = module if mutation.module == info.target else execute(info.target, monkeypatch)
    component = getattr(offering, info.kind)()
    fixed = Mutated()
    fixed.component = component
    return Subject(info, fixed, mutation.options)


def check_of(mutation: Mutation, name: str) -> Check:
    kind = mutation.spelling.partition(".")[0]
    (found,) = [check for check in checks_for(kind) if check.name == name]
    return found


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m.spelling}: {m.mistake}")
def test_the_kit_finds_the_mistake(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        whole = subject(mutation, mutation.old, patch)
        for name in mutation.checks:
            check_of(mutation, name).function(whole)
    with monkeypatch.context() as patch:
        broken = subject(mutation, mutation.new, patch)
        for name in mutation.checks:
            with pytest.raises(Violation):
                check_of(mutation, name).function(broken)


def test_every_kind_of_component_is_mutated() -> None:
    kinds = {mutation.spelling.partition(".")[0] for mutation in MUTATIONS}
    assert kinds == {
        "objective",
        "schedule",
        "solver",
        "guidance",
        "backbone",
        "codec",
        "task",
        "recipe",
    }

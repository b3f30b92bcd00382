"""The kit catches what it is there to catch: every broken component here fails the check named."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any, ClassVar

import attrs
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from kernel import (
    AudioSpec,
    Backbone,
    Codec,
    Condition,
    ConditionSpec,
    Guidance,
    LatentSpec,
    Objective,
    Observer,
    Preconditioning,
    Request,
    Schedule,
    Solver,
    Step,
    Task,
    UsageError,
)
from kernel.errors import PluginError
from kernel.registry import KINDS, PluginInfo, Registry
from kernel.testing import Inapplicable, Subject, Violation, checks_for, conformance, run_checks


@attrs.frozen
class Fixed(Registry):
    """A registry that loads one class, whatever it is asked for."""

    component: Any = None

    def load(self, info: PluginInfo) -> Any:
        return self.component


def subject(component: Any, **options: Any) -> Subject:
    info = PluginInfo(component.kind, "tested", "tests", "1", "kernel")
    return Subject(info, Fixed(component=component), options)


def broken_checks(component: Any, **options: Any) -> set[str]:
    tested = subject(component, **options)
    outcomes = run_checks(tested.registry, tested.info, options)
    return {
        outcome.check for outcome in outcomes if outcome.status not in ("passed", "inapplicable")
    }


class Good(Objective):
    """Predict x0 and noise as Karras et al."""

    def precondition(self, sigma: Any) -> Preconditioning:
        total = sigma**2 + 1
        log = sigma.log() if isinstance(sigma, Tensor) else torch.tensor(sigma).log().item()
        return Preconditioning(1 / total, sigma * total**-0.5, total**-0.5, log)


class VarianceForSigma(Good):
    """Take sigma squared where sigma is meant."""

    def precondition(self, sigma: Any) -> Preconditioning:
        return super().precondition(sigma**2)


class SigmaSquaredInTraining(Good):
    """Train at another noise level than it samples at."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma**2, noise, condition, mask)


class LossPerBatch(Good):
    """Divide the loss by the batch size."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma, noise, condition, mask) / len(x0)


class LossIgnoresMask(Good):
    """Count the padding."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma, noise, condition)


class LossCountsPadding(Good):
    """Leave the padding out of the sum, but not out of what it is divided by."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        mean = super().loss(network, x0, sigma, noise, condition, mask)
        return mean if mask is None else mean * mask.mean((1, 2))


class LossSum(Good):
    """Add where a mean is meant."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        return super().loss(network, x0, sigma, noise, condition, mask) * x0[0].numel()


class ClampedInTraining(Good):
    """Clamp what the network returns, in training only."""

    def loss(self, network, x0, sigma, noise, condition, mask=None):  # type: ignore[no-untyped-def]
        def clamped(*arguments: Any) -> Tensor:
            return network(*arguments).clamp(-1, 1)

        return super().loss(clamped, x0, sigma, noise, condition, mask)


class InPlace(Good):
    """Overwrite x."""

    def denoise(self, network, x, sigma, condition):  # type: ignore[no-untyped-def]
        scale = self.precondition(sigma)
        prediction = network(x * scale.c_in, x.new_full((len(x),), scale.c_noise), condition)
        return x.mul_(scale.c_skip) + prediction * scale.c_out


class NoNoiseLevel(Good):
    """Fold the noise level, so that two of them look the same."""

    def precondition(self, sigma: Any) -> Preconditioning:
        scale = super().precondition(sigma)
        return attrs.evolve(scale, c_noise=scale.c_noise**2)


class Grid(Schedule):
    """Equal steps."""

    sigma_min: float = Field(0.01, description="smallest")
    sigma_max: float = Field(10.0, description="largest")

    def sigmas(self, steps: int) -> list[float]:
        if steps < 1:
            raise UsageError("at least one step; ask for more")
        return [self.sigma_max * (1 - index / steps) for index in range(steps)] + [0.0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.empty(count).uniform_(self.sigma_min, self.sigma_max, generator=generator)


class StopsShort(Grid):
    """End at sigma_min."""

    def sigmas(self, steps: int) -> list[float]:
        return [*super().sigmas(steps)[:-1], self.sigma_min]


class OneTooFew(Grid):
    """Make one step less than asked for."""

    def sigmas(self, steps: int) -> list[float]:
        return super().sigmas(max(steps - 1, 1) if steps > 0 else steps)


class DrawsOutside(Grid):
    """Forget the range."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return super().draw(count, generator) * 2


class DrawsGlobally(Grid):
    """Draw from the global generator."""

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.empty(count).uniform_(self.sigma_min, self.sigma_max)


class AcceptsNoSteps(Grid):
    """Return a grid of no steps."""

    def sigmas(self, steps: int) -> list[float]:
        return super().sigmas(steps) if steps > 0 else [0.0]


class Midway(Solver):
    """Take Heun's step, from options that break it."""

    correct: bool = Field(True, description="use the corrector")
    finish: bool = Field(True, description="make the last step")
    reach: bool = Field(True, description="remove the last noise")
    in_place: bool = Field(False, description="overwrite x")
    listen: bool = Field(True, description="go on from what is sent")
    claim: int = Field(2, description="order")
    extra: int = Field(0, description="evaluations that nfe does not tell of")
    draw: bool = Field(False, description="draw noise and throw it away")
    global_noise: bool = Field(False, description="use the global generator")
    batch: bool = Field(False, description="mix the batch")
    four_d: bool = Field(False, description="take 4-D states only")

    shared: ClassVar[list[Any]] = []

    @property
    def order(self) -> int:
        return self.claim

    def nfe(self, steps: int) -> int:
        return 2 * steps - 1 if self.correct else steps

    def trajectory(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        pairs = list(pairwise(sigmas))
        for index, (sigma, following) in enumerate(pairs if self.finish else pairs[:-1]):
            if self.four_d:
                x = (
                    x * x.new_ones(1, 1, *x.shape[2:])[..., :, :]
                    if x.ndim == 4
                    else x.clone()[:, :1]
                )
            x0 = denoise(x, sigma)
            for _ in range(self.extra):
                denoise(x, sigma)
            slope = (x - x0) / sigma
            end = following if following or self.reach else sigma / 10
            new = x + (end - sigma) * slope
            if following > 0 and self.correct:
                late = (new - denoise(new, following)) / following
                new = x + (following - sigma) * (slope + late) / 2
            if self.in_place:
                new = x.copy_(new)
            if self.draw:
                noise(sigma, following)
            if self.global_noise:
                new = new + 0 * torch.randn_like(new)
            if self.batch:
                new = new + 0.01 * following * new.mean(0, keepdim=True)
            sent = yield Step(index, following, new, x0)
            x = sent if self.listen else new


class Chatty(Midway):
    """Keep the last evaluation of a run in the class."""

    def trajectory(self, denoise, x, sigmas, noise):  # type: ignore[no-untyped-def]
        self.shared.clear()
        for index, (sigma, following) in enumerate(pairwise(sigmas)):
            x0 = denoise(x, sigma)
            self.shared.append(x0)
            x = yield Step(index, following, self.shared[index // 2].lerp(x, following / sigma), x0)

    def nfe(self, steps: int) -> int:
        return steps

    @property
    def order(self) -> int:
        return 1


class Doubling(Guidance):
    """Follow the difference that a condition makes."""

    scale: float = Field(2.0, description="1 is neutral")

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        def guided(x, sigma, condition):  # type: ignore[no-untyped-def]
            without = denoise(x, sigma, condition.dropped())
            return without.lerp(denoise(x, sigma, condition), self.scale)

        return guided


class Silent(Doubling):
    """Do nothing at all."""

    scale: float = Field(1.0, description="1 is neutral")


class LosesCondition(Doubling):
    """Drop the condition in the third evaluation."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided, calls = super().wrap(denoise, context), []

        def forgetful(x, sigma, condition):  # type: ignore[no-untyped-def]
            calls.append(sigma)
            return guided(x, sigma, condition.dropped() if len(calls) == 3 else condition)

        return forgetful


class KeepsItsOwn(Doubling):
    """Use the condition of the run instead of that of the call."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, condition: guided(x, sigma, context.condition)


class DropsParts(Doubling):
    """Pass on the vector alone."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, Condition(vector=c.vector))


class ShufflesParts(Doubling):
    """Give an item the sequence of another."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, attrs.evolve(c, sequence=c.sequence.flip(0)))


class NormOfBatch(Doubling):
    """Scale by the norm of the whole batch."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, c) / x.square().mean().sqrt()


class NotNeutral(Doubling):
    """Be off by a little at the neutral scale."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, c) * 1.001


class Net(nn.Module):
    """A pointwise network whose faults can be switched on."""

    def __init__(self, latent: LatentSpec, spec: ConditionSpec, faults: frozenset[str]) -> None:
        super().__init__()
        channels = latent.channels
        self.dims, self.faults, self.width = latent.dims, faults, channels
        self.embed = nn.Linear(channels + 1 + spec.vector + spec.sequence + spec.aligned, 8)
        self.out = nn.Linear(8, channels)
        nn.init.zeros_(self.out.weight)
        self.norm = nn.BatchNorm1d(8) if "batchnorm" in faults else None
        self.unused = nn.Linear(2, 2) if "unused" in faults else None
        if "buffer" in faults:
            self.register_buffer("scale", torch.ones(1), persistent=False)
        self.spec, self.seen = spec, 0

    def prepare(self, condition: Condition) -> Any:
        vector, sequence = condition.vector, condition.sequence
        if "deaf" in self.faults and vector is not None:
            vector = vector * 0
        if sequence is not None:
            mask = condition.mask if "mask" not in self.faults else None
            weight = sequence.new_ones(sequence.shape[:2]) if mask is None else mask.to(sequence)
            count = weight.sum(1, keepdim=True)
            count = count if "null" in self.faults else count.clamp(min=1)
            sequence = (sequence * weight[..., None]).sum(1) / count
        parts = [part for part in (vector, sequence) if part is not None]
        return [torch.cat(parts, 1) if parts else None, condition.aligned]

    def forward(self, x: Tensor, c_noise: Tensor, condition: Any) -> Tensor:
        told, aligned = condition
        size = x.shape[2:]
        if "even" in self.faults:
            size = torch.Size([*size[:-1], size[-1] // 2 * 2])
            x = x[..., : size[-1]]
        flat = [c_noise[:, None]] + ([] if told is None else [told])
        wide = torch.cat(flat, 1).view(len(x), -1, *[1] * self.dims).expand(-1, -1, *size)
        planes = [x, wide] + ([] if aligned is None else [aligned[..., : size[-1]]])
        hidden = self.embed(torch.cat(planes, 1).movedim(1, -1)).tanh()
        if self.norm is not None:
            hidden = self.norm(hidden.flatten(0, -2)).view(hidden.shape)
        if "random" in self.faults:
            hidden = hidden * (torch.rand_like(hidden) > 0.1)
        if "spent" in self.faults:
            condition[0] = None if told is None else told * 0
        if "overwrite" in self.faults:
            x.mul_(0.5)
        return self.out(hidden).movedim(-1, 1)


class Pointwise(Backbone):
    """Look at each position alone."""

    faults: tuple[str, ...] = Field((), description="what is broken")

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        return Net(latent, condition, frozenset(self.faults))


class Blocks(nn.Module):
    """Samples in blocks of 64, with faults."""

    def __init__(self, faults: frozenset[str], std: float) -> None:
        super().__init__()
        self.faults, self.std = faults, std

    def encode(self, audio: Tensor) -> Tensor:
        if "clip" in self.faults:
            audio.clamp_(-0.1, 0.1)
        missing = -audio.shape[-1] % 64
        blocks = nn.functional.pad(audio, (0, missing)).unflatten(-1, (-1, 64))
        if "level" in self.faults:
            blocks = blocks / blocks.square().mean().sqrt()
        if "silence" in self.faults:
            blocks = blocks / blocks.square().sum((1, 2, 3), keepdim=True).sqrt()
        return blocks.transpose(2, 3).flatten(1, 2) / self.std

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        blocks = latent.unflatten(1, (-1, 64)).transpose(2, 3) * self.std
        audio = blocks.flatten(2)
        if "hop" in self.faults:
            audio = audio.roll(64, -1)
        if "global" in self.faults:
            audio = audio + 1e-9 * torch.randn_like(audio)
        if "detached" in self.faults:
            audio = audio * 0 + audio.detach()
        return audio if "long" in self.faults else audio[..., :samples]


class Block(Codec):
    """Cut sound into blocks."""

    faults: tuple[str, ...] = Field((), description="what is broken")
    std: float | None = Field(None, description="scale")

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        up = samples // 64 if "floor" in self.faults else -(-samples // 64)
        return LatentSpec(64 * audio.channels, (up,))

    def build(self, audio: AudioSpec) -> nn.Module:
        return Blocks(frozenset(self.faults), self.std or 0.1)

    def fit(self, audio, examples):  # type: ignore[no-untyped-def]
        power = torch.cat([each.flatten() for each in examples]).square().mean()
        return self.model_copy(update={"std": float(power if "fit" in self.faults else power**0.5)})


class Plain(Task):
    """Ask for sounds."""

    faults: tuple[str, ...] = Field((), description="what is broken")
    path: str | None = Field(None, description="folder")

    @property
    def audio(self) -> AudioSpec:
        return AudioSpec(8000)

    @property
    def samples(self) -> int:
        return 800

    @property
    def condition(self) -> ConditionSpec:
        return ConditionSpec(vector=3)

    def portable(self):  # type: ignore[no-untyped-def]
        return self if "path" in self.faults else self.model_copy(update={"path": None})

    def resolve(self):  # type: ignore[no-untyped-def]
        more = ("again", *self.faults)
        return self.model_copy(update={"faults": more}) if "resolve" in self.faults else self

    def dataset(self, split: str) -> Any:
        return Data(self.faults)

    def requests(self, inputs, count):  # type: ignore[no-untyped-def]
        if count < 1 and "count" not in self.faults:
            raise UsageError("at least one; ask for more")
        width = 2 if "width" in self.faults else 3
        shift = random.random() if "random" in self.faults else 0.0
        condition = Condition(vector=torch.ones(1, width) + shift)
        names = ["sound" if "names" in self.faults else f"{index:02d}" for index in range(count)]
        return [Request(name, 800, condition) for name in names]


class Data:
    """Four examples of noise."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults

    def __len__(self) -> int:
        return 4

    def example(self, index: int, generator: torch.Generator) -> Any:
        from kernel import Example

        source = None if "crop" in self.faults else generator
        audio = torch.rand(1, 700 if "short" in self.faults else 800, generator=source)
        return Example(audio, 800, Condition(vector=torch.ones(1, 3)))


class Quiet(Observer):
    """Watch."""


class Meddler(Observer):
    """Write into the record."""

    def started(self, directory, record):  # type: ignore[no-untyped-def]
        record["config"]["seed"] = 1


class Undescribed(Grid):
    """Have an option that nobody explains."""

    mystery: int = 1


class Lossy(Grid):
    """Have an option that a file cannot hold."""

    limit: float | None = Field(5.0, description="none for no limit")


class Lax(Grid):
    """Accept any option."""

    model_config: ClassVar[Any] = {"extra": "ignore"}


class Required(Grid):
    """Have an option without a default."""

    needed: int = Field(description="needed")


@pytest.mark.parametrize(
    "component",
    [Good, Grid, Midway, Doubling, Pointwise, Block, Plain, Quiet],
    ids=lambda c: c.kind,
)
def test_what_is_sound_passes(component: Any) -> None:
    assert broken_checks(component) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (VarianceForSigma, {}, "target_scale"),
        (SigmaSquaredInTraining, {}, "training_as_sampling"),
        (LossPerBatch, {}, "loss_batch"),
        (LossIgnoresMask, {}, "loss_mask"),
        (LossCountsPadding, {}, "loss_mask"),
        (LossSum, {}, "loss_length"),
        (ClampedInTraining, {}, "loss_zero"),
        (InPlace, {}, "pure"),
        (NoNoiseLevel, {}, "noise_level"),
        (StopsShort, {}, "ends_at_zero"),
        (OneTooFew, {}, "count"),
        (DrawsOutside, {}, "draws"),
        (DrawsGlobally, {}, "pure"),
        (DrawsGlobally, {}, "seeded"),
        (AcceptsNoSteps, {}, "no_steps"),
        (Undescribed, {}, "documented"),
        (Lax, {}, "unknown_option"),
        (Midway, {"finish": False}, "steps"),
        (Midway, {"reach": False}, "reaches_zero"),
        (Midway, {"correct": False}, "order"),
        (Midway, {"claim": 3}, "order"),
        (Midway, {"in_place": True}, "pure"),
        (Midway, {"listen": False}, "send"),
        (Midway, {"extra": 1}, "nfe"),
        (Midway, {"draw": True}, "noise"),
        (Midway, {"global_noise": True}, "pure"),
        (Midway, {"batch": True}, "batch"),
        (Midway, {"four_d": True}, "shapes"),
        (Chatty, {}, "repeatable"),
        (Silent, {}, "acts"),
        (LosesCondition, {}, "condition"),
        (KeepsItsOwn, {}, "condition"),
        (DropsParts, {}, "condition"),
        (ShufflesParts, {}, "whole_condition"),
        (NormOfBatch, {}, "batch"),
        (Pointwise, {"faults": ["batchnorm"]}, "items_apart"),
        (Pointwise, {"faults": ["deaf"]}, "items_apart"),
        (Pointwise, {"faults": ["unused"]}, "gradient"),
        (Pointwise, {"faults": ["buffer"]}, "meta"),
        (Pointwise, {"faults": ["mask"]}, "mask"),
        (Pointwise, {"faults": ["null"]}, "null_condition"),
        (Pointwise, {"faults": ["even"]}, "sizes"),
        (Pointwise, {"faults": ["random"]}, "pure"),
        (Pointwise, {"faults": ["spent"]}, "prepared"),
        (Pointwise, {"faults": ["overwrite"]}, "pure"),
        (Block, {"faults": ["hop"]}, "alignment"),
        (Block, {"faults": ["floor"]}, "latent_shape"),
        (Block, {"faults": ["long"]}, "samples"),
        (Block, {"faults": ["level"]}, "batch"),
        (Block, {"faults": ["silence"]}, "silence"),
        (Block, {"faults": ["global"]}, "pure"),
        (Block, {"faults": ["clip"]}, "pure"),
        (Block, {"faults": ["detached"]}, "gradient"),
        (Block, {"faults": ["fit"]}, "fit"),
        (Plain, {"faults": ["names"]}, "requests"),
        (Plain, {"faults": ["width"]}, "request_conditions"),
        (Plain, {"faults": ["count"]}, "request_count"),
        (Plain, {"faults": ["random"]}, "repeatable"),
        (Plain, {"faults": ["resolve"]}, "resolve"),
        (Plain, {"faults": ["path"]}, "portable"),
        (Plain, {"faults": ["short"]}, "dataset"),
        (Plain, {"faults": ["crop"]}, "dataset"),
        (Meddler, {}, "lifecycle"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str) -> None:
    tested = subject(component, **options)
    (found,) = [each for each in checks_for(component.kind) if each.name == check]
    with pytest.raises(Violation, match=r"\w"):
        found.function(tested)


def test_options_that_a_file_cannot_hold_are_caught() -> None:
    assert "saved_options" in broken_checks(Lossy, limit=None)


def test_required_options_are_caught() -> None:
    assert broken_checks(Required, needed=1) == {"defaults"}


def test_neutral_options_are_compared_with_no_guidance() -> None:
    (check,) = [each for each in checks_for("guidance") if each.name == "neutral"]
    with pytest.raises(Inapplicable, match="no neutral options are known"):
        check.function(subject(Doubling))
    check.function(attrs.evolve(subject(Doubling), neutral={"scale": 1.0}))
    with pytest.raises(Violation, match="without guidance"):
        check.function(attrs.evolve(subject(NotNeutral), neutral={"scale": 1.0}))


@pytest.mark.parametrize("kind", KINDS)
def test_every_check_states_its_promise(kind: str) -> None:
    checks = checks_for(kind)
    assert len({check.name for check in checks}) == len(checks) > 0
    for check in checks:
        assert check.promise.endswith(".") and not check.promise.startswith("Check")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="'sampler' is not a kind of plugin; the kinds are obj"):
        checks_for("sampler")


class Failing(Grid):
    """Fail in ways that no check expects."""

    def sigmas(self, steps: int) -> list[float]:
        raise SystemExit("bye")


def test_an_unexpected_error_ends_one_check_only() -> None:
    tested = subject(Failing)
    outcomes = {each.check: each for each in run_checks(tested.registry, tested.info)}
    assert outcomes["count"].status == "error"
    assert outcomes["count"].detail.startswith("SystemExit: bye at ")
    assert outcomes["draws"].status == "passed"
    assert outcomes["draws"].seconds > 0


def test_options_are_refused_before_any_check_runs() -> None:
    tested = subject(Grid)
    with pytest.raises(UsageError, match=r"option of schedule.tested 'sigma_mix' does not exist"):
        run_checks(tested.registry, tested.info, {"sigma_mix": 1})


def test_a_model_takes_no_options() -> None:
    info = PluginInfo("model", "m", "tests", "1", "nowhere")
    with pytest.raises(UsageError, match=r"model.m is a model and takes no option 'a'"):
        run_checks(Registry((info,)), info, {"a": 1})


SCHEDULE = """
    from kernel import Schedule, hookimpl
    from pydantic import Field
    {imports}

    class Mine(Schedule):
        "One step."
        sigma_min: float = Field(1.0, gt=0, description="smallest")
        sigma_max: float = Field(2.0, gt=0, description="largest")

    @hookimpl
    def schedule():
        return Mine
"""


def install(site: Any, imports: str = "") -> None:
    module = SCHEDULE.format(imports=imports)
    site.install("mine", {"schedule.mine": "mine_module"}, {"mine_module.py": module})


def test_conformance_is_a_test_with_one_case_for_each_check(site: Any) -> None:
    install(site)
    test = conformance("schedule.mine")
    (mark,) = test.pytestmark  # type: ignore[attr-defined]
    assert [case.id for case in mark.args[1]] == [check.name for check in checks_for("schedule")]
    cases = {case.id: case.values for case in mark.args[1]}
    test(*cases["range"])
    with pytest.raises(pytest.skip.Exception, match="the schedule is for training only"):
        test(*cases["count"])


def test_conformance_passes_options_on(site: Any) -> None:
    install(site)
    test = conformance("schedule.mine", sigma_min=3.0)
    cases = {case.id: case.values for case in test.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    with pytest.raises(Violation, match=r"sigma_min is 3.0 and sigma_max is 2.0"):
        test(*cases["range"])


def test_conformance_knows_near_misses(site: Any) -> None:
    install(site)
    with pytest.raises(UsageError, match=r"no schedule 'mime'; did you mean 'mine'\?"):
        conformance("schedule.mime")


def test_a_module_that_imports_torch_is_caught(site: Any) -> None:
    install(site, "import sys; sys.modules.setdefault('torch', sys)")
    registry = Registry.scan(path=site.path)
    (info,) = registry.plugins
    outcomes = {each.check: each for each in run_checks(registry, info)}
    assert outcomes["light_import"].status == "failed"
    assert "importing mine_module imports torch" in outcomes["light_import"].detail


def test_a_plugin_that_cannot_be_loaded_is_no_outcome(site: Any) -> None:
    install(site, "import sys; sys.exit(3)")
    registry = Registry.scan(path=site.path)
    with pytest.raises(PluginError, match="importing mine_module raised SystemExit: 3"):
        run_checks(registry, registry.plugins[0])

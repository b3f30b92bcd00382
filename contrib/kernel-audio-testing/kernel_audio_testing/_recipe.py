"""What recipes are held to: the losses of a step, on a small network whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn

from kernel.assembly import Assembly, Part
from kernel.config import RunConfig, TrainConfig
from kernel.errors import PluginError
from kernel.kinds.backbone import Backbone
from kernel.kinds.codec import Codec
from kernel.kinds.objective import Objective
from kernel.kinds.recipe import Batch, Parts
from kernel.kinds.schedule import Schedule
from kernel.kinds.task import Task
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.runner.groups import Groups
from kernel.runner.parts import provide
from kernel.seeds import generator
from kernel.values import (
    AudioSpec,
    Condition,
    ConditionSpec,
    LatentSpec,
    Preconditioning,
)
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import finite, generator_untouched, normal, same

__all__ = ["CHECKS"]

FRAMES = 16
STEPS = range(8)


class Plain(Objective):
    """D is what the network returns, which is shown x itself."""

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions."""
        return Preconditioning(c_skip=0.0, c_out=1.0, c_in=1.0, c_noise=sigma.log())


class Levels(Schedule):
    """Sigmas from 0.1 to 10, evenly in their logarithms."""

    sigma_min: float = 0.1
    sigma_max: float = 10.0

    def sigmas(self, steps: int) -> list[float]:
        """Return a geometric grid."""
        return [*(10 * 0.01 ** (index / max(1, steps - 1)) for index in range(steps)), 0.0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` sigmas, one in each part of the range."""
        ranks = torch.arange(count) + torch.rand(count, generator=generator)
        return 10 * 0.01 ** (ranks / count)


class Answers(nn.Module):
    """A NetworkModule that looks at each value alone; it keeps what it is shown."""

    def __init__(self, given: list[float]) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(0.1))
        # What every network here answers, and how far this one is off.
        self.given, self.off = given, 0.0
        self.shown: list[tuple[Tensor, Tensor]] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> Answers:
        copy = Answers(self.given)
        copy.load_state_dict(self.state_dict())
        return copy

    def prepare(self, condition: Condition) -> Tensor | None:
        """Return the vector."""
        return condition.vector

    def forward(self, x: Tensor, c_noise: Tensor, vector: Tensor | None) -> Tensor:
        """Return F."""
        self.shown.append((x.detach(), c_noise.detach()))
        told = 0.0 if vector is None else vector.mean(1).view(-1, *[1] * (x.ndim - 1))
        answer = (self.weight * x + self.bias + 0.1 * told) / (1 + c_noise.exp().view(-1, 1, 1))
        if self.given:
            answer = 0 * answer + self.given[0]
        return answer + self.off


class Pointwise(Backbone):
    """Builds such networks."""

    given: list[float] = []  # noqa: RUF012

    def build(self, latent: LatentSpec, condition: ConditionSpec) -> nn.Module:
        """Return one."""
        return Answers(self.given)


class Gain(nn.Module):
    """A CodecModule that scales."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(1.0))

    def encode(self, audio: Tensor) -> Tensor:
        """Return the latent."""
        return audio * self.gain

    def decode(self, latent: Tensor, samples: int) -> Tensor:
        """Return the audio."""
        return latent / self.gain


class Scaled(Codec):
    """Builds such a codec."""

    def latent(self, audio: AudioSpec, samples: int) -> LatentSpec:
        """Return the shape of the audio."""
        return LatentSpec(audio.channels, (samples,))

    def build(self, audio: AudioSpec) -> nn.Module:
        """Return one."""
        return Gain()


class Told(Task):
    """Sounds of two channels with a vector of three values."""

    @property
    def audio(self) -> AudioSpec:
        """Return the audio."""
        return AudioSpec(8000, 2)

    @property
    def samples(self) -> int:
        """Return the length."""
        return FRAMES

    @property
    def condition(self) -> ConditionSpec:
        """Return the widths."""
        return ConditionSpec(vector=3)


@attrs.frozen(eq=False)
class Tiled(Batch):
    """A batch whose noise repeats every FRAMES frames, so that sounds may be cut and repeated."""

    def normal(self, like: Tensor | None = None) -> Tensor:
        """Return the noise."""
        like = self.x0 if like is None else like
        shape = (*like.shape[1:-1], FRAMES)
        draws = torch.stack([torch.randn(shape, generator=each) for each in self.generators])
        times = math.ceil(like.shape[-1] / FRAMES)
        return torch.cat([draws] * times, -1)[..., : like.shape[-1]].to(like.dtype)


@attrs.frozen(eq=False)
class Bench:
    """A recipe's module, the parts that it was built of, and what its networks answer."""

    recipe: Any
    parts: Parts
    module: Any
    given: list[float]

    @classmethod
    def of(cls, subject: Subject) -> Bench:
        """Return the bench of a recipe, built like every other time."""
        recipe = subject.make()
        torch.manual_seed(0)
        network = Pointwise()
        every = (Plain(), Levels(), network, Scaled(), Told())
        assembly = Assembly(
            tuple(Part(PluginInfo(each.kind, "toy", "kit", "1", "kit"), each) for each in every)
        )
        codec = assembly.build_codec()
        if "codec" not in recipe.trains:
            codec.eval().requires_grad_(False)
        teacher = (assembly.objective, network, network.build(assembly.latent, ConditionSpec()))
        machine = Machine.choose(RunConfig(device="cpu"))
        parts = provide(assembly, codec, machine, [], lambda name: teacher)
        return cls(recipe, parts, recipe.build(parts).double(), network.given)

    def losses(
        self,
        k: int = 0,
        rows: Sequence[int] = range(5),
        x0: Tensor | None = None,
        valid: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of step `k` for rows of a batch of five."""
        first, stop = rows[0], rows[-1] + 1
        x0 = normal(5, 2, FRAMES, seed=k) if x0 is None else x0
        batch = Tiled(
            audio=x0[first:stop],
            x0=cast("Tensor", None if "codec" in self.recipe.trains else x0[first:stop]),
            condition=Condition(vector=normal(5, 3, seed=1)[first:stop]),
            valid=None if valid is None else valid[first:stop],
            generators=[generator(0, "kit", k, row) for row in rows],
            common=generator(0, "kit", k),
            count=5,
            first=first,
            put=lambda tensor: tensor.double(),
        )
        return dict(self.module(batch, k))


def check_groups(subject: Subject) -> str | None:
    """Check that the groups are disjoint, hold something, and it exports what it trains."""
    bench = Bench.of(subject)
    try:
        groups = Groups(subject.info.spelling, bench.module, TrainConfig())
    except PluginError as error:
        raise Violation(str(error)) from None
    exported, trained = sorted(bench.module.exports), sorted(bench.recipe.trains)
    require(exported == trained, f"it trains {trained} and exports {exported}")
    return ", ".join(f"{name} {len(group)} tensors" for name, group in groups.items())


def check_losses(subject: Subject) -> str | None:
    """Check that every step has a finite loss for each item, of groups that there are."""
    bench = Bench.of(subject)
    known = set(bench.module.groups)
    for k in STEPS:
        found = bench.losses(k)
        require(bool(found), f"step {k} trains nothing")
        require(set(found) <= known, f"step {k} has a loss of no group: {set(found) - known}")
        for name, loss in found.items():
            require(loss.shape == (5,), f"the loss of {name} is {tuple(loss.shape)}, not [B]")
            finite(loss, f"the loss of {name}")
    return None


def check_alternation(subject: Subject) -> str | None:
    """Check that which groups have a loss depends on the step alone."""
    bench = Bench.of(subject)
    for k in STEPS:
        here, there = list(bench.losses(k)), list(bench.losses(k, x0=-normal(5, 2, FRAMES, seed=k)))
        require(here == there, f"step {k} trains {here} or {there}")
    return None


def check_gradient(subject: Subject) -> str | None:
    """Check that the loss of each group has a finite gradient that reaches it."""
    bench = Bench.of(subject)
    reached = dict.fromkeys(bench.module.groups, False)
    for k in STEPS:
        for name, loss in bench.losses(k).items():
            require(loss.requires_grad, f"the loss of {name} has no gradient")
            every = list(bench.module.groups[name])
            found = torch.autograd.grad(loss.sum(), every, retain_graph=True, allow_unused=True)
            for each in found:
                if each is not None:
                    finite(each, f"the gradient of the loss of {name}")
                    reached[name] |= bool((each != 0).any())
    idle = [name for name, seen in reached.items() if not seen]
    require(not idle, f"no gradient reaches the group {', '.join(idle)} in {len(STEPS)} steps")
    return None


def check_items(subject: Subject) -> str | None:
    """Check that an item's loss is the same whatever the micro-batch that it stands in."""
    bench = Bench.of(subject)
    for k in STEPS[:2]:
        together = bench.losses(k)
        for row in range(5):
            for name, alone in bench.losses(k, range(row, row + 1)).items():
                one = together[name][row : row + 1]
                same(one, alone, f"the loss of {name} of an item in a batch and alone", 1e-6)
    return None


def check_valid(subject: Subject) -> str | None:
    """Check that padding neither counts in a loss nor in what it is divided by."""
    bench = Bench.of(subject)
    valid = (torch.arange(FRAMES) < 10).expand(5, FRAMES)
    for k in STEPS[:2]:
        x0 = normal(5, 2, FRAMES, seed=k)
        masked = bench.losses(k, x0=x0 + 100 * ~valid[:, None], valid=valid)
        cut = bench.losses(k, x0=x0[..., :10])
        for name, loss in cut.items():
            same(masked[name], loss, f"the loss of {name} with padding and without", 1e-6)
    return None


def check_length(subject: Subject) -> str | None:
    """Check that the loss is a mean: repeating a sound does not change it."""
    bench = Bench.of(subject)
    for k in STEPS[:2]:
        x0 = normal(5, 2, FRAMES, seed=k)
        twice = bench.losses(k, x0=torch.cat([x0, x0], -1))
        for name, loss in bench.losses(k, x0=x0).items():
            same(twice[name], loss, f"the loss of {name} of a sound twice over and once", 1e-6)
    return None


def check_draws(subject: Subject) -> str | None:
    """Check that everything random comes from the batch."""
    bench = Bench.of(subject)
    for k in STEPS[:2]:
        with generator_untouched("the recipe"):
            once = bench.losses(k)
        for name, loss in bench.losses(k).items():
            same(once[name], loss, f"the loss of {name} of the same draws", 1e-9)
    return None


def check_shown(subject: Subject) -> str | None:
    """Check that the network is shown x0 + sigma n at the sigma that it is told."""
    bench = Bench.of(subject)
    if "backbone" not in bench.recipe.trains:
        raise Inapplicable("it trains no network")
    bench.losses(0, x0=normal(5, 2, 4000))
    shown = bench.parts.network.shown
    require(bool(shown), "the network is not evaluated in step 0")
    for x, c_noise in cast("list[tuple[Tensor, Tensor]]", shown):
        for each, level in zip(x, c_noise.tolist(), strict=True):
            scale, wanted = float(each.std()), math.sqrt(1 + math.exp(2 * level))
            require(
                abs(scale / wanted - 1) < 0.15,
                f"at sigma {math.exp(level):.3g} the network is shown x of standard deviation "
                f"{scale:.3g}, not {wanted:.3g}",
            )
    return None


def check_exact(subject: Subject) -> str | None:
    """Check that a network that knows x0 has a smaller loss than one that is off."""
    bench = Bench.of(subject)
    if "backbone" not in bench.recipe.trains:
        raise Inapplicable("it trains no network")
    if len(bench.module.groups) > 1:
        raise Inapplicable("the loss of a network depends on another that is trained with it")
    x0 = torch.full((5, 2, FRAMES), 3.0, dtype=torch.float64)
    bench.given.append(3.0)
    (known,) = bench.losses(x0=x0).values()
    bench.parts.network.off = cast("Any", -0.5)
    (off,) = bench.losses(x0=x0).values()
    for low, high in zip(known.tolist(), off.tolist(), strict=True):
        require(low < high, f"the loss of a network that knows x0 is {low:.3g}, else {high:.3g}")
    return None


CHECKS: tuple[Callable[[Subject], str | None], ...] = (
    check_groups,
    check_losses,
    check_alternation,
    check_gradient,
    check_items,
    check_valid,
    check_length,
    check_draws,
    check_shown,
    check_exact,
)

"""A small training for the checks of recipes: a network whose answers are known, and a batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn

from kernel.assembly import Assembly, Part
from kernel.config import RunConfig
from kernel.kinds.backbone import Backbone
from kernel.kinds.codec import Codec
from kernel.kinds.objective import Objective
from kernel.kinds.recipe import Batch, Parts
from kernel.kinds.schedule import Schedule
from kernel.kinds.task import Task
from kernel.registry import PluginInfo
from kernel.runner.device import Machine
from kernel.seeds import generator
from kernel.values import (
    AudioSpec,
    Condition,
    ConditionSpec,
    LatentSpec,
    Preconditioning,
)
from kernel_audio_testing._subject import Subject
from kernel_audio_testing._tools import normal
from kernel_audio_training.parts import Average, provide

__all__ = ["FRAMES", "STEPS", "Bench", "Levels", "Tiled"]

FRAMES = 16
STEPS = range(8)


class Plain(Objective):
    """D is what the network returns, which is shown x itself."""

    def precondition(self, sigma: Any) -> Preconditioning:
        """Return the four functions."""
        return Preconditioning(c_skip=0.0, c_out=1.0, c_in=1.0, c_noise=sigma.log())

    def weight(self, sigma: Any) -> Any:
        """Return a weight that differs from sigma to sigma."""
        return 1 / (1 + sigma**2)


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
    decays: Sequence[float]
    """Those of its averages, by which each follows its module in a step."""

    @classmethod
    def of(cls, subject: Subject, seed: int = 0) -> Bench:
        """Return the bench of a recipe, built like every other time of the same seed."""
        recipe = subject.make()
        torch.manual_seed(seed)
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
        averages: list[Average] = []
        parts = provide(assembly, codec, machine, averages, lambda name: teacher)
        module = recipe.build(parts).double()
        return cls(recipe, parts, module, network.given, [each.decay for each in averages])

    def losses(
        self,
        k: int = 0,
        rows: Sequence[int] = range(5),
        x0: Tensor | None = None,
        valid: Tensor | None = None,
        told: int = 1,
    ) -> dict[str, Tensor]:
        """Return the losses of step `k` for rows of a batch of five, with a condition's seed."""
        return dict(self.module(self.batch(k, rows, x0, valid, told), k))

    @torch.no_grad()
    def watched(self, rows: Sequence[int] = range(5)) -> dict[str, Tensor]:
        """Return the losses of rows of a held-out batch that are reported and not trained."""
        return dict(self.recipe.watch(self.module, self.batch(0, rows)))

    def batch(
        self,
        k: int = 0,
        rows: Sequence[int] = range(5),
        x0: Tensor | None = None,
        valid: Tensor | None = None,
        told: int = 1,
    ) -> Batch:
        """Return rows of the batch of step `k`; other values of x0 and `valid` are those of all."""
        first, stop = rows[0], rows[-1] + 1
        x0 = normal(5, 2, FRAMES, seed=k) if x0 is None else x0
        return Tiled(
            audio=x0[first:stop],
            x0=cast("Tensor", None if "codec" in self.recipe.trains else x0[first:stop]),
            condition=Condition(vector=normal(5, 3, seed=told)[first:stop]),
            valid=None if valid is None else valid[first:stop],
            generators=[generator(0, "kit", k, row) for row in rows],
            common=generator(0, "kit", k),
            count=5,
            first=first,
            put=lambda tensor: tensor.double(),
        )

"""A run whose every part shows what it is asked: what the checks of guidances stand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.kinds.guidance import Guidance
from kernel.runner.guide import guided
from kernel.seeds import derive, generator
from kernel.values import AudioSpec, Condition, Context, LatentSpace, LatentSpec, Measurement
from kernel_audio_testing._subject import Inapplicable, Subject, Violation
from kernel_audio_testing._tools import normal

__all__ = [
    "SIGMAS",
    "SIGMA_DATA",
    "Denoiser",
    "Draws",
    "Scene",
    "condition_of",
    "distance",
    "guidance_of",
    "hear",
    "likely",
    "met",
]

SIGMAS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.0)
SIGMA_DATA = 0.5
KNOWN = frozenset({"gradient", "measurement", "null-condition", "origin"})
"""The needs that the kit can meet."""


@attrs.define(eq=False)
class Denoiser:
    """A smooth denoiser that depends on every part of the condition; `asked` holds its calls.

    Its estimates are about `size` large, in units of `unit`.
    """

    size: float
    unit: float = attrs.field(default=1.0, kw_only=True)
    asked: list[tuple[Tensor, float, Condition]] = attrs.field(factory=list)

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return an estimate of x0, each item from its own x and condition alone."""
        self.asked.append((x, sigma, condition))
        if condition.vector is None or condition.sequence is None or condition.aligned is None:
            raise Violation("an evaluation is made with parts of the condition missing")
        told = condition.vector.sum(1) + condition.sequence.sum((1, 2))
        shift = told.view(-1, *[1] * (x.ndim - 1)) + condition.aligned.sum(1, keepdim=True)
        level = 1 + (sigma / self.unit) ** 2
        estimate = torch.tanh(x / self.unit + 0.3 * shift) / level + 0.1 * shift
        return self.size * self.unit * estimate


@attrs.define(eq=False)
class Draws:
    """Noise like a batch whose items keep theirs, whatever they are batched with."""

    like: Tensor
    items: Sequence[int]
    calls: int = 0

    def __call__(self, sigma: float, following: float) -> Tensor:
        """Return the next standard normal noise."""
        self.calls += 1
        shape, dtype = self.like.shape[1:], self.like.dtype
        draws = [
            torch.randn(shape, generator=generator(self.calls, "item", each), dtype=torch.float64)
            for each in self.items
        ]
        return torch.stack(draws).to(self.like.device, dtype)


@attrs.define(eq=False)
class Scene:
    """A batch of states and what a guidance may know of their run.

    The weaker model answers to every name. Every word stands for a condition, and every encoder is
    a smooth function of the audio, which is the latent's values in a row.
    """

    x: Tensor
    condition: Condition
    measurement: Measurement | None
    items: Sequence[int] = (0, 1, 2)
    denoiser: Denoiser = attrs.field(factory=lambda: Denoiser(1.0))
    weaker: Denoiser = attrs.field(factory=lambda: Denoiser(0.5))
    words: list[Condition] = attrs.field(factory=list)
    unit: float = 1.0
    measure: Callable[[Condition], Measurement] = attrs.field(default=lambda each: half(each))

    @classmethod
    def of(
        cls,
        size: tuple[int, ...] = (8,),
        dtype: torch.dtype = torch.float64,
        measure: Callable[[Condition], Measurement] = lambda each: half(each),
        **changes: Any,
    ) -> Scene:
        """Return a scene of three items in which half of every origin is known, or `measure`."""
        condition = condition_of(3, size, 10, dtype)
        x = normal(3, 2, *size, dtype=dtype)
        return cls(x, condition, measure(condition), measure=measure, **changes)

    def scaled(self, unit: float) -> Scene:
        """Return the scene with all latents and all sigmas `unit` times as large."""
        assert self.condition.origin is not None
        condition = attrs.evolve(self.condition, origin=self.condition.origin * unit)
        return Scene(
            self.x * unit,
            condition,
            half(condition),
            denoiser=Denoiser(1.0, unit=unit),
            weaker=Denoiser(0.5, unit=unit),
            unit=unit,
        )

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Return the grid of the run."""
        return tuple(sigma * self.unit for sigma in SIGMAS)

    def map(self, function: Callable[[Tensor], Tensor], items: Sequence[int] = (0, 1, 2)) -> Scene:
        """Return the scene with `function` applied to every tensor."""
        condition = self.condition.map(function)
        known = self.measure(condition)
        return Scene(function(self.x), condition, known, items, measure=self.measure)

    def context(self) -> Context:
        """Return what a guidance is told."""
        _, *shape = self.x.shape
        latent = LatentSpec(shape[0], tuple(shape[1:]))
        space = LatentSpace(
            AudioSpec(8000),
            latent.numel,
            latent,
            lambda audio: audio.reshape(-1, *shape) * SIGMA_DATA * self.unit,
            lambda x0, samples: (
                x0.reshape(-1, 1, latent.numel)[..., :samples] / (SIGMA_DATA * self.unit)
            ),
            lambda spelling: hear,
            self.x.dtype,
            self.x.device,
        )
        return Context(
            self.condition,
            self.sigmas,
            self.measurement,
            SIGMA_DATA * self.unit,
            space,
            Draws(self.x, self.items),
            self._named,
            lambda name: self.weaker,
        )

    @torch.no_grad()
    def results(self, guidance: Guidance) -> list[Tensor]:
        """Return the guided estimates at every sigma and the constrained states after them."""
        context = self.context()
        estimate = guided(self.denoiser, {"subject": guidance}, context)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return estimate(x, sigma, self.condition)

        estimates = [
            denoise(self.x * max(1, sigma / self.unit), sigma) for sigma in self.sigmas[:-1]
        ]
        return estimates + [
            guidance.constrain(self.x, sigma, denoise, context) for sigma in self.sigmas[1:]
        ]

    def _named(self, word: str) -> Condition:
        condition = condition_of(1, tuple(self.x.shape[2:]), derive(0, word) >> 20, torch.float64)

        def put(part: Tensor) -> Tensor:
            return part.to(self.x if part.is_floating_point() else self.x.device)

        self.words.append(condition.map(put))
        return self.words[-1]


def condition_of(batch: int, size: tuple[int, ...], seed: int, dtype: torch.dtype) -> Condition:
    return Condition(
        vector=normal(batch, 4, seed=seed, dtype=dtype),
        sequence=normal(batch, 3, 2, seed=seed + 1, dtype=dtype),
        mask=torch.ones(batch, 3, dtype=torch.bool),
        aligned=normal(batch, 2, *size, seed=seed + 2, dtype=dtype),
        origin=normal(batch, 2, *size, seed=seed + 3, dtype=dtype),
    )


def half(condition: Condition) -> Measurement:
    """Return that the first half of the values of each channel of x0 is that of the origin."""
    assert condition.origin is not None
    origin = condition.origin.flatten(2)
    middle = origin.shape[-1] // 2
    target = origin[..., :middle]

    def project(x0: Tensor) -> Tensor:
        return torch.cat([target.to(x0), x0.flatten(2)[..., middle:]], -1).view(x0.shape)

    return Measurement(lambda x0: x0.flatten(2)[..., :middle], target, distance, project)


def likely(condition: Condition) -> Measurement:
    """Return that half of the values of x0 are logits of known probabilities."""
    known = half(condition)
    return Measurement(
        lambda x0: known.operator(x0).sigmoid(), known.target.sigmoid(), known.distance
    )


def distance(predicted: Tensor, target: Tensor) -> Tensor:
    return (predicted - target).square().flatten(1).mean(1)


def hear(audio: Tensor, sample_rate: int) -> Tensor:
    """Return four smooth numbers of each sound: what every encoder of a scene hears, [B, 4]."""
    return torch.stack([(audio * pitch).sin().mean((1, 2)) for pitch in (1, 2, 3, 4)], 1)


def met(guidance: Guidance) -> Guidance:
    """Return a guidance whose needs the kit can meet. Raises Inapplicable for another one."""
    if unmet := sorted(guidance.needs - KNOWN):
        raise Inapplicable(f"the kit cannot offer {', '.join(unmet)}, which it needs")
    return guidance


def guidance_of(subject: Subject, **changes: Any) -> Guidance:
    guidance = met(subject.make(**changes))
    try:
        Scene.of().results(guidance)
    except KernelError as error:
        raise Inapplicable(f"it refuses a run with these options: {error}") from None
    return guidance

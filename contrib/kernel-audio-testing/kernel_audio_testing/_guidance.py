"""What guidances are held to, in a run whose every part shows what it is asked."""

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
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import (
    finite,
    generator_untouched,
    item,
    normal,
    on_meta,
    require_meta,
    same,
    unchanged,
)

__all__ = ["CHECKS"]

SIGMAS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.0)
SIGMA_DATA = 0.5
KNOWN = frozenset({"gradient", "measurement", "null-condition", "origin"})
"""The needs that the kit can meet."""


@attrs.define(eq=False)
class Denoiser:
    """A smooth denoiser that depends on every part of the condition; `asked` holds its calls.

    Its estimates are about `size` large.
    """

    size: float
    asked: list[tuple[Tensor, float, Condition]] = attrs.field(factory=list)

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return an estimate of x0, each item from its own x and condition alone."""
        self.asked.append((x, sigma, condition))
        if condition.vector is None or condition.sequence is None or condition.aligned is None:
            raise Violation("an evaluation is made with parts of the condition missing")
        told = condition.vector.sum(1) + condition.sequence.sum((1, 2))
        shift = told.view(-1, *[1] * (x.ndim - 1)) + condition.aligned.sum(1, keepdim=True)
        return self.size * (torch.tanh(x + 0.3 * shift) / (1 + sigma**2) + 0.1 * shift)


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
            torch.randn(shape, generator=generator(self.calls, "item", each), dtype=dtype)
            for each in self.items
        ]
        return torch.stack(draws).to(self.like.device)


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

    @classmethod
    def of(
        cls, size: tuple[int, ...] = (8,), dtype: torch.dtype = torch.float64, **changes: Any
    ) -> Scene:
        """Return a scene of three items in which half of every origin is known."""
        condition = _condition(3, size, 10, dtype)
        return cls(normal(3, 2, *size, dtype=dtype), condition, _half(condition), **changes)

    def map(self, function: Callable[[Tensor], Tensor], items: Sequence[int] = (0, 1, 2)) -> Scene:
        """Return the scene with `function` applied to every tensor."""
        condition = self.condition.map(function)
        return Scene(function(self.x), condition, _half(condition), items)

    def context(self) -> Context:
        """Return what a guidance is told."""
        _, *shape = self.x.shape
        latent = LatentSpec(shape[0], tuple(shape[1:]))
        space = LatentSpace(
            AudioSpec(8000),
            latent.numel,
            latent,
            lambda audio: audio.reshape(-1, *shape) * SIGMA_DATA,
            lambda x0, samples: x0.reshape(-1, 1, latent.numel)[..., :samples] / SIGMA_DATA,
            lambda spelling: _hear,
            self.x.dtype,
            self.x.device,
        )
        return Context(
            self.condition,
            SIGMAS,
            self.measurement,
            SIGMA_DATA,
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

        estimates = [denoise(self.x * max(1, sigma), sigma) for sigma in SIGMAS[:-1]]
        return estimates + [
            guidance.constrain(self.x, sigma, denoise, context) for sigma in SIGMAS[1:]
        ]

    def _named(self, word: str) -> Condition:
        size, dtype = tuple(self.x.shape[2:]), self.x.dtype
        condition = _condition(1, size, derive(0, word) >> 20, dtype)
        self.words.append(condition.map(lambda part: part.to(self.x.device)))
        return self.words[-1]


def _condition(batch: int, size: tuple[int, ...], seed: int, dtype: torch.dtype) -> Condition:
    return Condition(
        vector=normal(batch, 4, seed=seed, dtype=dtype),
        sequence=normal(batch, 3, 2, seed=seed + 1, dtype=dtype),
        mask=torch.ones(batch, 3, dtype=torch.bool),
        aligned=normal(batch, 2, *size, seed=seed + 2, dtype=dtype),
        origin=normal(batch, 2, *size, seed=seed + 3, dtype=dtype),
    )


def _half(condition: Condition) -> Measurement:
    """Return that the first half of the last axis of x0 is known to be that of the origin."""
    assert condition.origin is not None
    half = condition.origin.shape[-1] // 2
    target = condition.origin[..., :half]

    def project(x0: Tensor) -> Tensor:
        return torch.cat([target.to(x0), x0[..., half:]], -1)

    return Measurement(lambda x0: x0[..., :half], target, _distance, project)


def _distance(predicted: Tensor, target: Tensor) -> Tensor:
    return (predicted - target).square().flatten(1).mean(1)


def _hear(audio: Tensor, sample_rate: int) -> Tensor:
    return torch.stack([(audio * pitch).sin().mean((1, 2)) for pitch in (1, 2, 3, 4)], 1)


def _guidance(subject: Subject, **changes: Any) -> Guidance:
    guidance: Guidance = subject.make(**changes)
    if unmet := sorted(guidance.needs - KNOWN):
        raise Inapplicable(f"the kit cannot offer {', '.join(unmet)}, which it needs")
    try:
        Scene.of().results(guidance)
    except KernelError as error:
        raise Inapplicable(f"it refuses a run with these options: {error}") from None
    return guidance


def _wrapping(subject: Subject) -> Guidance:
    guidance = _guidance(subject)
    if type(guidance).wrap is Guidance.wrap:
        raise Inapplicable("it evaluates nothing itself")
    return guidance


def _change(guidance: Guidance, other: Guidance, size: float = 1.0) -> float:
    """Return how far apart the results of two guidances are where estimates are `size` large."""
    results = (Scene.of(denoiser=Denoiser(size)).results(each) for each in (guidance, other))
    return max(float((one - two).abs().max()) for one, two in zip(*results, strict=True))


@torch.no_grad()
def check_condition(subject: Subject) -> str | None:
    """Check that every call evaluates each item under the condition that the call was made with."""
    guidance, scene = _wrapping(subject), Scene.of()
    guided = guidance.wrap(scene.denoiser, scene.context())
    for index, sigma in enumerate(SIGMAS[:-1]):
        # Another condition at every call: what is kept of one must not serve the next.
        scene.denoiser.asked.clear()
        scene.weaker.asked.clear()
        condition = _condition(3, (8,), 50 + 10 * index, scene.x.dtype)
        guided(scene.x, sigma, condition)
        require(
            bool(scene.denoiser.asked), f"at sigma {sigma} the denoiser is not evaluated at all"
        )
        counts = [
            _evaluated(each, condition, sigma)
            for each in (scene.denoiser, scene.weaker)
            if each.asked
        ]
    calls = len(scene.denoiser.asked) + len(scene.weaker.asked)
    return f"{calls} evaluation(s) of {sum(counts)} items for a batch of {len(scene.x)}"


def _evaluated(denoiser: Denoiser, condition: Condition, sigma: float) -> int:
    """Return how many items were evaluated, after checking that those of a condition were."""
    assert condition.vector is not None
    asked = [each.vector for _, _, each in denoiser.asked if each.vector is not None]
    rows = torch.cat([vector.to(condition.vector) for vector in asked])
    for row in condition.vector:
        told = bool((rows == row).all(1).any())
        require(told, f"at sigma {sigma} no evaluation is made with the condition of the call")
    return len(rows)


@torch.no_grad()
def check_whole_condition(subject: Subject) -> str | None:
    """Check that the parts of a condition stay together: no item is given another's."""
    guidance, scene = _wrapping(subject), Scene.of()
    guided = guidance.wrap(scene.denoiser, scene.context())
    for sigma in SIGMAS[:-1]:
        guided(scene.x, sigma, scene.condition)
    parts = ("vector", "sequence", "mask", "aligned")
    known = [*(item(scene.condition, index) for index in range(len(scene.x))), *scene.words]
    for _, sigma, asked in scene.denoiser.asked + scene.weaker.asked:
        assert asked.vector is not None
        for row in range(len(asked.vector)):
            alone = item(asked, row)
            owners = [
                {
                    index
                    for index, each in enumerate(known)
                    if torch.equal(getattr(each, name), getattr(alone, name))
                }
                for name in parts
                if bool(getattr(alone, name).ne(0).any())
            ]
            require(
                not owners or bool(set.intersection(*owners)),
                f"at sigma {sigma} an item is evaluated with parts of several conditions",
            )
    return None


def check_batch(subject: Subject) -> str | None:
    """Check that an item's result does not depend on what it is batched with, nor on the order."""
    guidance, scene = _guidance(subject), Scene.of()
    reverse = torch.tensor([2, 1, 0])
    together = scene.results(guidance)
    turned = scene.map(lambda part: part[reverse], (2, 1, 0)).results(guidance)
    alone = scene.map(lambda part: part[1:2], (1,)).results(guidance)
    for all_three, backwards, one in zip(together, turned, alone, strict=True):
        same(backwards[reverse], all_three, "the results in reverse order and in order")
        same(all_three[1:2], one, "the result of an item in a batch and alone")
    return None


def check_shapes(subject: Subject) -> str | None:
    """Check that results have the shape and the dtype of x, are finite and carry no gradients."""
    guidance = _guidance(subject)
    for size in ((8,), (6, 8)):
        for dtype in (torch.float32, torch.float64):
            scene = Scene.of(size, dtype)
            for found in scene.results(guidance):
                shape = tuple(scene.x.shape)
                require(
                    (tuple(found.shape), found.dtype) == (shape, dtype),
                    f"a result is {tuple(found.shape)} {found.dtype}, x {shape} {dtype}",
                )
                finite(found, "a guided estimate or state")
                require(not found.requires_grad, "a result still carries a graph of gradients")
    return None


def check_agreement(subject: Subject) -> str | None:
    """Check that results are finite where what is known is met and no gradient points anywhere."""
    guidance, scene = _guidance(subject), Scene.of()
    nothing = torch.zeros_like(scene.x)
    scene.measurement = Measurement(lambda x0: 0 * x0, nothing, _distance, lambda x0: x0)
    for found in scene.results(guidance):
        finite(found, "a guided estimate or state")
    return None


def check_needs(subject: Subject) -> str | None:
    """Check that it needs what it uses: gradients where it steers, a measurement where it looks."""
    guidance, scene = _guidance(subject), Scene.of()
    require(
        not guidance.steers or "gradient" in guidance.needs,
        "it steers, and `needs` is overridden without the word 'gradient' of the base class",
    )
    if "measurement" in guidance.needs:
        return None
    scene.measurement = None
    try:
        scene.results(guidance)
    except KernelError as error:
        return f"refused without a measurement: {error}"
    except AttributeError as error:
        raise Violation(
            f"it does not need 'measurement' and fails in a run without one: {error}"
        ) from error
    return None


def check_device(subject: Subject) -> str | None:
    """Check that it computes where x is and never waits for the device."""
    guidance = _guidance(subject)
    with on_meta("the guidance"):
        for found in Scene.of().map(lambda part: part.to("meta")).results(guidance):
            require_meta(found, "a result")
    return None


def check_acts(subject: Subject) -> str | None:
    """Check that with its default options it changes something, large estimates if no others."""
    guidance = _guidance(subject)
    change = max(_change(guidance, Guidance(), size) for size in (1.0, 40.0))
    require(change > 1e-9, "every estimate and every state is the same as without it")
    return None


def check_strength(subject: Subject) -> str | None:
    """Check that the option that it names as its strength can be lowered, and then acts."""
    name = subject.load().strength
    if name is None:
        raise Inapplicable("its class names no option in `strength`")
    require(name in subject.load().model_fields, f"it has no option {name!r}, its `strength`")
    guidance = _guidance(subject)
    value = getattr(guidance, name)
    if not value:
        raise Inapplicable(f"its {name} is {value}")
    # A run that diverges is told to try a quarter.
    weaker = _guidance(subject, **{name: value / 4})
    change = _change(weaker, guidance)
    require(change > 1e-9, f"{name}={value / 4:g} gives the same results as {value:g}")
    return f"{name}={value / 4:g} in place of {value:g} changes a result by {change:.2g}"


def check_neutral(subject: Subject) -> str | None:
    """Check that with its neutral options it changes nothing."""
    neutral = subject.load().neutral
    if neutral is None:
        raise Inapplicable("its class says in `neutral` that no options switch it off")
    guided = Scene.of().results(_guidance(subject, **neutral))
    for found, plain in zip(guided, Scene.of().results(Guidance()), strict=True):
        same(found, plain, f"the results with {dict(neutral)} and without guidance")
    return None


@torch.no_grad()
def check_unconditional(subject: Subject) -> str | None:
    """Check that a run without any condition works, or is refused with a reason."""
    guidance, scene = _guidance(subject), Scene.of()
    plain = Condition(origin=scene.condition.origin)

    def denoise(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        return x / (1 + sigma**2)

    context = attrs.evolve(scene.context(), condition=plain, model=lambda name: denoise)
    try:
        found = guided(denoise, {"subject": guidance}, context)(scene.x, 1.0, plain)
    except KernelError as error:
        return f"refused: {error}"
    finite(found, "the estimate without a condition")
    return None


def check_pure(subject: Subject) -> str | None:
    """Check that nothing is changed in place, nothing random is drawn, and calls repeat."""
    guidance, scene = _guidance(subject), Scene.of()
    parts = {name: getattr(scene.condition, name) for name in ("vector", "sequence", "aligned")}
    assert scene.measurement is not None
    with (
        generator_untouched("the guidance"),
        unchanged(x=scene.x, target=scene.measurement.target, **parts),
    ):
        first = scene.results(guidance)
        second = scene.results(guidance)
    for one, other in zip(first, second, strict=True):
        require(torch.equal(one, other), "the same call gives another result the second time")
    return None


CHECKS = (
    check_condition,
    check_whole_condition,
    check_batch,
    check_shapes,
    check_agreement,
    check_needs,
    check_device,
    check_acts,
    check_strength,
    check_neutral,
    check_unconditional,
    check_pure,
)

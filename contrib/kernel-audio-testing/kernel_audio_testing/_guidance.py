"""What guidances are held to, in a run whose every part shows what it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import get_args

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.kinds.guidance import Guidance
from kernel.runner.guide import guided
from kernel.values import Condition, Measurement
from kernel_audio_testing._guidance_effect import (
    check_approaches,
    check_interval,
    check_named,
    check_noisier,
    check_profile,
    check_silent,
    check_unmeasured,
)
from kernel_audio_testing._guided import (
    SIGMAS,
    Denoiser,
    Scene,
    condition_of,
    distance,
    guidance_of,
    likely,
    met,
)
from kernel_audio_testing._options import choices, every_option_acts, holds, numbers, together
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import (
    finite,
    generator_untouched,
    item,
    on_meta,
    require_meta,
    same,
    unchanged,
)

__all__ = ["CHECKS"]


def _wrapping(subject: Subject) -> Guidance:
    guidance = guidance_of(subject)
    if type(guidance).wrap is Guidance.wrap:
        raise Inapplicable("it evaluates nothing itself")
    return guidance


def _change(guidance: Guidance, other: Guidance, size: float = 1.0) -> float:
    """Return how far apart the results of two guidances are where estimates are `size` large."""
    results = (Scene.of(denoiser=Denoiser(size)).results(each) for each in (guidance, other))
    return max(float((one - two).abs().max()) for one, two in zip(*results, strict=True))


@torch.no_grad()
def check_condition(subject: Subject) -> str | None:
    """Check that every call evaluates each item under the condition of that call."""
    guidance, scene = _wrapping(subject), Scene.of()
    guided = guidance.wrap(scene.denoiser, scene.context())
    for index, sigma in enumerate(SIGMAS[:-1]):
        # Another condition at every call: what is kept of one must not serve the next.
        scene.denoiser.asked.clear()
        scene.weaker.asked.clear()
        condition = condition_of(3, (8,), 50 + 10 * index, scene.x.dtype)
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
    """Check that every item gets all parts of its own condition."""
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
    """Check that an item's result does not depend on the batch or its order."""
    guidance = met(subject.make())
    refused = []
    # Losses of probabilities and of spectra have a sense in the second scene alone.
    for scene in (Scene.of(), Scene.of((160,), measure=likely)):
        try:
            _check_batch(guidance, scene)
        except KernelError as error:
            refused.append(str(error))
    if len(refused) == 2:
        raise Inapplicable(f"it refuses a run with these options: {refused[0]}")
    return f"refused once: {refused[0]}" if refused else None


def _check_batch(guidance: Guidance, scene: Scene) -> None:
    reverse = torch.tensor([2, 1, 0])
    together = scene.results(guidance)
    turned = scene.map(lambda part: part[reverse], (2, 1, 0)).results(guidance)
    alone = scene.map(lambda part: part[1:2], (1,)).results(guidance)
    for all_three, backwards, one in zip(together, turned, alone, strict=True):
        same(backwards[reverse], all_three, "the results in reverse order and in order")
        same(all_three[1:2], one, "the result of an item in a batch and alone")


def check_shapes(subject: Subject) -> str | None:
    """Check that results have the shape and the dtype of x, are finite and carry no gradients."""
    guidance = guidance_of(subject)
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


def check_precision(subject: Subject) -> str | None:
    """Check that results in float32 equal results in float64."""
    guidance, worst = guidance_of(subject), 0.0
    exact, rough = Scene.of(), Scene.of().map(_single)
    for one, other in zip(rough.results(guidance), exact.results(guidance), strict=True):
        same(one.double(), other, "the results in two precisions", 2e-3)
        worst = max(worst, float((one - other).abs().max() / other.abs().max()))
    return f"differ by {worst:.1e}"


def _single(part: Tensor) -> Tensor:
    return part.float() if part.is_floating_point() else part


def check_layout(subject: Subject) -> str | None:
    """Check that results do not depend on the number of axes of the latent."""
    guidance = guidance_of(subject)
    flat, image = (Scene.of(size).results(guidance) for size in ((48,), (6, 8)))
    for one, two in zip(flat, image, strict=True):
        same(two.reshape(one.shape), one, "the results for the size (6, 8) and for (48,)")
    return None


@torch.no_grad()
def check_units(subject: Subject) -> str | None:
    """Check that in other units, of all sigmas and of all data, it makes the same of them.

    That is of its default options, as others may be sigmas. What has constants in such units lists
    this check in its `shortfalls`.
    """
    fields = subject.load().model_fields
    words = {
        name: value
        for name, value in subject.options.items()
        if str in (fields[name].annotation, *get_args(fields[name].annotation))
    }
    guidance = guidance_of(attrs.evolve(subject, options=words))
    usual, others = (scene.results(guidance) for scene in (Scene.of(), Scene.of().scaled(8.0)))
    for one, other in zip(usual, others, strict=True):
        same(other / 8.0, one, "the results in units an eighth as large, and the results", 1e-6)
    return None


def check_agreement(subject: Subject) -> str | None:
    """Check that results are finite where the measurement is met and gradients are zero."""
    guidance, scene = guidance_of(subject), Scene.of()
    nothing = torch.zeros_like(scene.x)
    scene.measurement = Measurement(lambda x0: 0 * x0, nothing, distance, lambda x0: x0)
    for found in scene.results(guidance):
        finite(found, "a guided estimate or state")
    return None


def _nulled(condition: Condition) -> bool:
    """Return whether an item is told nothing."""
    assert condition.vector is not None
    return bool((condition.vector == 0).all(1).any())


def check_needs(subject: Subject) -> str | None:
    """Check that `needs` names what it uses: a gradient, a measurement, the null condition."""
    guidance, scene = guidance_of(subject), Scene.of()
    require(
        not guidance.steers or "gradient" in guidance.needs,
        "it steers, and `needs` is overridden without the word 'gradient' of the base class",
    )
    scene.results(guidance)
    nulled = any(_nulled(each) for _, _, each in scene.denoiser.asked)
    require(
        not nulled or "null-condition" in guidance.needs,
        "it evaluates under the null condition and does not need 'null-condition', so that it runs "
        "with networks that never learned it",
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
    """Check that it computes on the device of x and never waits for it."""
    guidance = guidance_of(subject)
    with on_meta("the guidance"):
        for found in Scene.of().map(lambda part: part.to("meta")).results(guidance):
            require_meta(found, "a result")
    return None


def check_acts(subject: Subject) -> str | None:
    """Check that it changes estimates with its default options, at least large ones."""
    guidance = guidance_of(subject)
    change = max(_change(guidance, Guidance(), size) for size in (1.0, 40.0))
    require(change > 1e-9, "every estimate and every state is the same as without it")
    return None


def check_strength(subject: Subject) -> str | None:
    """Check that the option named by `strength` can be lowered, with an effect."""
    name = subject.load().strength
    if name is None:
        raise Inapplicable("its class names no option in `strength`")
    require(name in subject.load().model_fields, f"it has no option {name!r}, its `strength`")
    guidance = guidance_of(subject)
    value = getattr(guidance, name)
    if not value:
        raise Inapplicable(f"its {name} is {value}")
    # A run that diverges is told to try a quarter.
    weaker = guidance_of(subject, **{name: value / 4})
    change = _change(weaker, guidance)
    require(change > 1e-9, f"{name}={value / 4:g} gives the same results as {value:g}")
    return f"{name}={value / 4:g} in place of {value:g} changes a result by {change:.2g}"


def check_neutral(subject: Subject) -> str | None:
    """Check that it changes nothing with its neutral options."""
    neutral = subject.load().neutral
    if neutral is None:
        raise Inapplicable("its class says in `neutral` that no options switch it off")
    guided = Scene.of().results(guidance_of(subject, **neutral))
    for found, plain in zip(guided, Scene.of().results(Guidance()), strict=True):
        same(found, plain, f"the results with {dict(neutral)} and without guidance")
    return None


@torch.no_grad()
def check_unconditional(subject: Subject) -> str | None:
    """Check that a run without a condition works, or is refused with a reason."""
    guidance, scene = guidance_of(subject), Scene.of()
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
    """Check that calls change no input, draw no random numbers, and repeat."""
    guidance, scene = guidance_of(subject), Scene.of()
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


def check_options(subject: Subject) -> str | None:
    """Check that every option changes something, alone or beside another."""

    def observe(guidance: Guidance) -> list[Tensor | float]:
        every = (Scene.of(denoiser=Denoiser(size)).results(guidance) for size in (1.0, 40.0))
        return [*chain.from_iterable(every)]

    return every_option_acts(subject, observe)


def check_choices(subject: Subject) -> str | None:
    """Check that other values of the options keep the promises."""
    chosen = list(choices(subject, whole=True))
    near = [*numbers(subject), *together(subject)]
    for each in (*chosen, *near):
        holds(
            each,
            condition=check_condition,
            whole_condition=check_whole_condition,
            batch=check_batch,
            shapes=check_shapes,
            layout=check_layout,
            agreement=check_agreement,
            device=check_device,
            pure=check_pure,
        )
    named = [
        each
        for each in numbers(subject)
        for name, value in each.options.items()
        if isinstance(value, Mapping) and subject.options.get(name) != value
        if "measurement" in each.make().needs
    ]
    for each in (*chosen, *named):
        holds(each, approaches=check_approaches, unmeasured=check_unmeasured)
    for each in chosen:
        holds(each, noisier=check_noisier)
    return f"{len(chosen) + len(near)} others"


CHECKS = (
    check_condition,
    check_whole_condition,
    check_batch,
    check_shapes,
    check_precision,
    check_layout,
    check_units,
    check_agreement,
    check_needs,
    check_device,
    check_acts,
    check_strength,
    check_neutral,
    check_unconditional,
    check_pure,
    check_approaches,
    check_interval,
    check_profile,
    check_silent,
    check_unmeasured,
    check_noisier,
    check_named,
    check_options,
    check_choices,
)

"""What guidances are held to, around a denoiser that shows what it is asked."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.components import Guidance
from kernel.errors import KernelError
from kernel.testing._subject import Inapplicable, Subject, Violation, require
from kernel.testing._tools import (
    finite,
    generator_untouched,
    item,
    normal,
    on_meta,
    require_meta,
    same,
    unchanged,
)
from kernel.values import Condition, Context, Measurement

__all__ = ["CHECKS"]

SIGMAS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.0)
KNOWN = frozenset({"gradient", "measurement", "null-condition", "origin"})
"""The needs that the kit can meet."""


@attrs.define(eq=False)
class Denoiser:
    """A smooth denoiser that depends on every part of the condition; `asked` holds its calls."""

    asked: list[tuple[Tensor, float, Condition]] = attrs.field(factory=list)

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return an estimate of x0, each item from its own x and condition alone."""
        self.asked.append((x, sigma, condition))
        if condition.vector is None or condition.sequence is None or condition.aligned is None:
            raise Violation("an evaluation is made with parts of the condition missing")
        told = condition.vector.sum(1) + condition.sequence.sum((1, 2))
        shift = told.view(-1, *[1] * (x.ndim - 1)) + condition.aligned.sum(1, keepdim=True)
        return torch.tanh(x + 0.3 * shift) / (1 + sigma**2) + 0.1 * shift


def _guidance(subject: Subject, **changes: Any) -> Guidance:
    guidance: Guidance = subject.make(**changes)
    if unmet := sorted(guidance.needs - KNOWN):
        raise Inapplicable(f"the kit cannot offer {', '.join(unmet)}, which it needs")
    return guidance


def _condition(batch: int, size: tuple[int, ...], seed: int, dtype: torch.dtype) -> Condition:
    return Condition(
        vector=normal(batch, 4, seed=seed, dtype=dtype),
        sequence=normal(batch, 3, 2, seed=seed + 1, dtype=dtype),
        mask=torch.ones(batch, 3, dtype=torch.bool),
        aligned=normal(batch, 2, *size, seed=seed + 2, dtype=dtype),
        origin=normal(batch, 2, *size, seed=seed + 3, dtype=dtype),
    )


def _context(condition: Condition) -> Context:
    """Return a context in which the first half of the last axis of x0 is known to be the origin."""
    assert condition.origin is not None
    half = condition.origin.shape[-1] // 2
    target = condition.origin[..., :half]

    def distance(predicted: Tensor, target: Tensor) -> Tensor:
        return (predicted - target).square().flatten(1).mean(1)

    def project(x0: Tensor) -> Tensor:
        return torch.cat([target.to(x0), x0[..., half:]], -1)

    known = Measurement(lambda x0: x0[..., :half], target, distance, project)
    return Context(condition, SIGMAS, known)


def _scene(
    size: tuple[int, ...] = (8,), dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Condition]:
    return normal(3, 2, *size, dtype=dtype), _condition(3, size, 10, dtype)


@torch.no_grad()
def _guided(guidance: Guidance, x: Tensor, condition: Condition) -> list[Tensor]:
    """Return the guided estimates at every sigma and the constrained states after them."""
    context = _context(condition)
    guided = guidance.wrap(Denoiser(), context)
    estimates = [guided(x * max(1, sigma), sigma, condition) for sigma in SIGMAS[:-1]]
    return estimates + [guidance.constrain(x, sigma, context) for sigma in SIGMAS[1:]]


@torch.no_grad()
def check_condition(subject: Subject) -> str | None:
    """Check that every call evaluates each item under the condition that the call was made with."""
    guidance = _guidance(subject)
    x, planned = _scene()
    denoiser = Denoiser()
    guided = guidance.wrap(denoiser, _context(planned))
    for index, sigma in enumerate(SIGMAS[:-1]):
        # Another condition at every call: what is kept of one must not serve the next.
        denoiser.asked.clear()
        condition = _condition(3, (8,), 50 + 10 * index, x.dtype)
        assert condition.vector is not None
        guided(x, sigma, condition)
        asked = [each.vector for _, _, each in denoiser.asked if each.vector is not None]
        require(bool(asked), f"at sigma {sigma} the denoiser is not evaluated at all")
        rows = torch.cat([vector.to(x.dtype) for vector in asked])
        for row in condition.vector:
            told = bool((rows == row).all(1).any())
            require(told, f"at sigma {sigma} no evaluation is made with the condition of the call")
    return f"{len(asked)} evaluation(s) of {len(rows)} items for a batch of {len(x)}"


@torch.no_grad()
def check_whole_condition(subject: Subject) -> str | None:
    """Check that the parts of a condition stay together: no item is given another's."""
    guidance = _guidance(subject)
    x, condition = _scene()
    denoiser = Denoiser()
    guided = guidance.wrap(denoiser, _context(condition))
    for sigma in SIGMAS[:-1]:
        guided(x, sigma, condition)
    parts = ("vector", "sequence", "mask", "aligned")
    for asked_x, sigma, asked in denoiser.asked:
        for row in range(len(asked_x)):
            alone = item(asked, row)
            owners = [
                {
                    index
                    for index in range(len(x))
                    if torch.equal(getattr(item(condition, index), name), getattr(alone, name))
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
    guidance = _guidance(subject)
    x, condition = _scene()
    together = _guided(guidance, x, condition)
    reverse = torch.tensor([2, 1, 0])
    turned = _guided(guidance, x[reverse], condition.map(lambda part: part[reverse]))
    alone = _guided(guidance, x[1:2], item(condition, 1))
    for all_three, backwards, one in zip(together, turned, alone, strict=True):
        same(backwards[reverse], all_three, "the results in reverse order and in order")
        same(all_three[1:2], one, "the result of an item in a batch and alone")
    return None


def check_shapes(subject: Subject) -> str | None:
    """Check that results have the shape and the dtype of x, and are finite."""
    guidance = _guidance(subject)
    for size in ((8,), (6, 8)):
        for dtype in (torch.float32, torch.float64):
            x, condition = _scene(size, dtype)
            for found in _guided(guidance, x, condition):
                require(
                    (found.shape, found.dtype) == (x.shape, dtype),
                    f"a result is {tuple(found.shape)} {found.dtype}, x {tuple(x.shape)} {dtype}",
                )
                finite(found, "a guided estimate")
                require(not found.requires_grad, "a result still carries a graph of gradients")
    return None


def check_device(subject: Subject) -> str | None:
    """Check that it computes where x is and never waits for the device."""
    guidance = _guidance(subject)
    x, condition = _scene()
    with on_meta("the guidance"):
        for found in _guided(guidance, x.to("meta"), condition.map(lambda part: part.to("meta"))):
            require_meta(found, "a result")
    return None


def check_acts(subject: Subject) -> str | None:
    """Check that with its default options it changes something."""
    guidance = _guidance(subject)
    x, condition = _scene()
    plain = _guided(Guidance(), x, condition)
    guided = _guided(guidance, x, condition)
    change = max(float((one - other).abs().max()) for one, other in zip(guided, plain, strict=True))
    require(change > 1e-9, "every estimate and every state is the same as without it")
    return None


def check_neutral(subject: Subject) -> str | None:
    """Check that with its neutral options it changes nothing."""
    neutral = subject.load().neutral
    if neutral is None:
        raise Inapplicable("its class says in `neutral` that no options switch it off")
    x, condition = _scene()
    guided = _guided(_guidance(subject, **neutral), x, condition)
    for found, plain in zip(guided, _guided(Guidance(), x, condition), strict=True):
        same(found, plain, f"the results with {dict(neutral)} and without guidance")
    return None


@torch.no_grad()
def check_unconditional(subject: Subject) -> str | None:
    """Check that a run without any condition works, or is refused with a reason."""
    guidance = _guidance(subject)
    x = normal(2, 2, 8)
    plain = Condition(origin=normal(2, 2, 8, seed=3))

    def denoise(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        return x / (1 + sigma**2)

    try:
        found = guidance.wrap(denoise, _context(plain))(x, 1.0, plain)
    except KernelError as error:
        return f"refused: {error}"
    finite(found, "the estimate without a condition")
    return None


def check_pure(subject: Subject) -> str | None:
    """Check that nothing is changed in place, nothing random is drawn, and calls repeat."""
    guidance = _guidance(subject)
    x, condition = _scene()
    parts = {name: getattr(condition, name) for name in ("vector", "sequence", "aligned")}
    with generator_untouched("the guidance"), unchanged(x=x, **parts):
        first = _guided(guidance, x, condition)
        second = _guided(guidance, x, condition)
    for one, other in zip(first, second, strict=True):
        require(torch.equal(one, other), "the same call gives another result the second time")
    return None


CHECKS = (
    check_condition,
    check_whole_condition,
    check_batch,
    check_shapes,
    check_device,
    check_acts,
    check_neutral,
    check_unconditional,
    check_pure,
)

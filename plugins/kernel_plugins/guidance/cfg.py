"""`cfg`: classifier-free guidance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import attrs
from pydantic import Field

from kernel import Condition, Context, Guidance, GuidedDenoise, UsageError, hookimpl
from kernel_plugins.guidance._mix import Mixing, following, progress

if TYPE_CHECKING:
    from torch import Tensor


class Cfg(Mixing):
    """Return D_u + guidance_scale (D_c - D_u) from one evaluation of a larger batch.

    Ho and Salimans 2022, eq. 6 with w = guidance_scale - 1. D_c is the denoiser under the run's
    condition. D_u is the denoiser under the null condition, or under the condition of the word
    `negative`. Every word i of `compose` adds weight (D_i - D_u) (Liu et al. 2022, eq. 11); a
    guidance_scale of 0 leaves only these. Outside (sigma_low, sigma_high] the result is D_c and
    costs one evaluation of the batch.

    The profile `cosine` fades guidance in, with u the progress through the grid:
    1 + (guidance_scale - 1) (1 - cos(pi u^power)) / 2 (Gao et al. 2023, MDT, power-cosine).

    `plus_plus` renoises with D_u (CFG++, Chung et al. 2024, algorithm 2). The result is
    D_u + (D_g - D_u) / (1 - sigma' / sigma). With it a step of the solver euler from sigma to
    sigma' goes to D_g + sigma' (x - D_u) / sigma, exactly as published. Use scales between 0 and 1;
    their effect depends on the number of steps.
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {
        "guidance_scale": 1.0,
        "plus_plus": False,
        "compose": {},
    }
    strength: ClassVar[str | None] = "guidance_scale"

    guidance_scale: float = Field(2.0, ge=0, description="1 is no guidance, 0 no condition")
    rescale: float = Field(
        0.0, ge=0, le=1, description="restore the standard deviation of D_c: 0 not at all, 1 fully"
    )
    negative: str | None = Field(
        None, description="word of the task (a label) to move away from; None: the null condition"
    )
    compose: dict[str, float] = Field(
        {}, description="further words of the task to move towards, each with its weight"
    )
    plus_plus: bool = Field(False, description="renoise with D_u (CFG++), for the solver euler")
    profile: Literal["constant", "cosine"] = Field(
        "constant", description="cosine: from D_c at the start of the run to full guidance at 0"
    )
    power: float = Field(
        4.0, gt=0, description="exponent of the profile cosine; larger rises later"
    )

    @property
    def needs(self) -> frozenset[str]:
        """Return `null-condition`, which the network must know."""
        return frozenset({"null-condition"})

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return the guided denoiser.

        Raises UsageError when the run has no condition, or the task does not know a word.
        """
        if context.condition.empty:
            raise UsageError(
                "guidance 'cfg' needs a condition and this run has none; choose a task that gives "
                "one (such as a label), or leave 'cfg' out"
            )
        if self.guidance_scale == 1 and not self.compose and not self.plus_plus:
            return denoise
        base = None if self.negative is None else _named(self.negative, context)
        others = [_named(word, context) for word in self.compose]
        branches: WeakKeyDictionary[Condition, Condition] = WeakKeyDictionary()

        def guided(x: Tensor, sigma: float, condition: Condition) -> Tensor:
            if not self.guides(sigma):
                return denoise(x, sigma, condition)
            if condition not in branches:
                told = [_told(each, condition, len(x)) for each in (base, *others)]
                branches[condition] = Condition.cat([condition, *told])
            count = 2 + len(others)
            every = denoise(x.repeat(count, *[1] * (x.ndim - 1)), sigma, branches[condition])
            return self._combine(every.chunk(count), sigma, context)

        return guided

    def _combine(self, every: Sequence[Tensor], sigma: float, context: Context) -> Tensor:
        """Return the guided estimate; `every` holds D_c, D_u and the estimate of each word."""
        conditional, base, *others = every
        share = 1.0
        if self.profile == "cosine":
            share = (1 - math.cos(math.pi * progress(context.sigmas, sigma) ** self.power)) / 2
        guided = base.lerp(conditional, 1 + (self.guidance_scale - 1) * share)
        for other, weight in zip(others, self.compose.values(), strict=True):
            guided = guided + weight * share * (other - base)
        guided = self._rescaled(guided, conditional)
        if not self.plus_plus:
            return guided
        return base.lerp(guided, 1 / (1 - following(context.sigmas, sigma) / sigma))

    def _rescaled(self, guided: Tensor, conditional: Tensor) -> Tensor:
        """Return the estimate, each item rescaled by Lin et al. 2024, eq. 14 to 16."""
        if self.rescale == 0:
            return guided
        axes = tuple(range(1, guided.ndim))
        wanted = conditional.std(axes, correction=0, keepdim=True)
        found = guided.std(axes, correction=0, keepdim=True)
        # A constant item has nothing to rescale.
        ratio = (wanted / found).masked_fill(found == 0, 1.0)
        return guided * (1 - self.rescale + self.rescale * ratio)


def _named(word: str, context: Context) -> Condition:
    if context.named is None:
        raise UsageError(
            f"guidance 'cfg' got the word {word!r} and the run has no task with words; "
            f"leave guidance.negative and guidance.compose out"
        )
    return context.named(word)


def _told(word: Condition | None, condition: Condition, batch: int) -> Condition:
    """Return the condition of a word, or the null condition for None, to batch with `condition`.

    The result has the parts and the origin of `condition`; parts that the word leaves open are
    null. Its sequence has the word's length. Raises UsageError for a part of another width.
    """
    null = condition.dropped()
    parts: dict[str, Tensor | None] = {}
    for name, axis in (("vector", -1), ("sequence", -1), ("aligned", 1)):
        own, other = getattr(word, name, None), getattr(null, name)
        if own is None or other is None:
            continue
        if own.shape[axis] != other.shape[axis]:
            raise UsageError(
                f"guidance 'cfg' got a word whose {name} part has width {own.shape[axis]}, the "
                f"run's has {other.shape[axis]}; use words of the run's task"
            )
        parts[name] = own.expand(batch, *own.shape[1:])
    if "sequence" in parts:
        mask = getattr(word, "mask", None)
        parts["mask"] = None if mask is None else mask.expand(batch, -1)
    return attrs.evolve(null, **parts)


@hookimpl
def guidance() -> type[Guidance]:
    """Offer `cfg`."""
    return Cfg

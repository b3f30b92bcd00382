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
    """Return D_u + guidance_scale (D_c - D_u), all of it from one evaluation of a larger batch.

    Ho and Salimans 2022, eq. 6 with w = guidance_scale - 1. D_c is the denoiser under the run's
    condition, D_u that under the null condition, or under what the word `negative` stands for.
    Every word of `compose` adds weight (D_i - D_u) (Liu et al. 2022, eq. 11); a guidance_scale of
    0 leaves these alone. Outside (sigma_low, sigma_high] the result is D_c at the price of one
    evaluation of the batch.

    The profile `cosine` fades guidance in, with u the progress through the grid:
    1 + (guidance_scale - 1) (1 - cos(pi u^power)) / 2 (Gao et al. 2023, MDT, power-cosine).

    `plus_plus` renoises with D_u (CFG++, Chung et al. 2024, algorithm 2): exactly so with the
    solver euler, whose step from sigma to sigma' with D_u + (D_g - D_u) / (1 - sigma' / sigma) goes
    to D_g + sigma' (x - D_u) / sigma. Scales between 0 and 1 are meant for it; how much they do
    depends on the number of steps.
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {
        "guidance_scale": 1.0,
        "plus_plus": False,
        "compose": {},
    }
    strength: ClassVar[str | None] = "guidance_scale"

    guidance_scale: float = Field(2.0, ge=0, description="1 is no guidance, 0 no condition")
    rescale: float = Field(
        0.0, ge=0, le=1, description="how far to restore the standard deviation of D_c"
    )
    negative: str | None = Field(
        None, description="word of the task (a label) to move away from; None for no condition"
    )
    compose: dict[str, float] = Field(
        {}, description="further words of the task to move towards, each with its weight"
    )
    plus_plus: bool = Field(False, description="renoise with D_u (CFG++), for the solver euler")
    profile: Literal["constant", "cosine"] = Field(
        "constant", description="cosine: from D_c at the start of the run to all guidance at 0"
    )
    power: float = Field(4.0, gt=0, description="how late the profile cosine rises")

    @property
    def needs(self) -> frozenset[str]:
        """Return that the network must know the null condition."""
        return frozenset({"null-condition"})

    def wrap(self, denoise: GuidedDenoise, context: Context) -> GuidedDenoise:
        """Return the guided denoiser.

        Raises UsageError when there is no condition to drop, or for a word that stands for none.
        """
        if context.condition.empty:
            raise UsageError(
                "guidance 'cfg' compares a condition with its absence and this run has no "
                "condition; choose a task that gives one (a label, say) or leave 'cfg' out"
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
        """Return the guided estimate of D_c, D_u and those of the words."""
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
        """Return an estimate rescaled per item by Lin et al. 2024, eq. 14 to 16."""
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
            f"guidance 'cfg' is given the word {word!r} in a run without a task that knows any; "
            f"leave guidance.negative and guidance.compose out"
        )
    return context.named(word)


def _told(word: Condition | None, condition: Condition, batch: int) -> Condition:
    """Return the condition of a word, None being the null condition, beside another condition.

    It has the parts of that, what the word leaves open being null, and its origin. Its sequence has
    the word's own length. Raises UsageError for a part of another width.
    """
    null = condition.dropped()
    parts: dict[str, Tensor | None] = {}
    for name, axis in (("vector", -1), ("sequence", -1), ("aligned", 1)):
        own, other = getattr(word, name, None), getattr(null, name)
        if own is None or other is None:
            continue
        if own.shape[axis] != other.shape[axis]:
            raise UsageError(
                f"guidance 'cfg' is given a word whose {name} part has width {own.shape[axis]} "
                f"where the run's has {other.shape[axis]}; use the words of the run's own task"
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

"""The checks of guidances catch what they are there to catch."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from pydantic import Field

from kernel import Condition, Guidance
from kernel.testing import Inapplicable, checks_for


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


class KeepsTheFirst(Doubling):
    """Take the condition of the first call for that of every other."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided, kept = super().wrap(denoise, context), []

        def stale(x, sigma, condition):  # type: ignore[no-untyped-def]
            kept.append(condition)
            return guided(x, sigma, kept[0])

        return stale


class Waits(Doubling):
    """Look at a norm on the host."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, c) * (0.5 if float(x.norm()) < 0 else 1.0)


class NormOfBatch(Doubling):
    """Scale by the norm of the whole batch."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, c) / x.square().mean().sqrt()


class SaysNeutral(Doubling):
    """Say which scale is neutral."""

    neutral = {"scale": 1.0}  # noqa: RUF012


class NotNeutral(SaysNeutral):
    """Be off by a little at the neutral scale."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, c) * 1.001


def test_what_is_sound_passes(broken: Any) -> None:
    assert broken(Doubling) == set()


@pytest.mark.parametrize(
    ("component", "options", "check"),
    [
        (Silent, {}, "acts"),
        (LosesCondition, {}, "condition"),
        (KeepsItsOwn, {}, "condition"),
        (KeepsTheFirst, {}, "condition"),
        (Waits, {}, "device"),
        (DropsParts, {}, "condition"),
        (ShufflesParts, {}, "whole_condition"),
        (NormOfBatch, {}, "batch"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_is_broken_is_caught(component: Any, options: Any, check: str, catch: Any) -> None:
    assert catch(component, check, **options)


def test_neutral_options_are_compared_with_no_guidance(subject: Any, catch: Any) -> None:
    (check,) = [each for each in checks_for("guidance") if each.name == "neutral"]
    with pytest.raises(Inapplicable, match="no options switch it off"):
        check.function(subject(Doubling))
    check.function(subject(SaysNeutral))
    assert "without guidance" in catch(NotNeutral, "neutral")

"""The checks of guidances catch what they are there to catch."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import pytest
import torch
from pydantic import Field

from kernel import Condition, Guidance, UsageError
from kernel_audio_testing import Inapplicable, checks_for


class Doubling(Guidance):
    """Follow the difference that a condition makes."""

    scale: float = Field(2.0, description="1 is neutral")

    @property
    def needs(self):  # type: ignore[no-untyped-def]
        return frozenset({"null-condition"})

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        if context.condition.empty:
            raise UsageError("there is no condition; choose a task that gives one")

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


class Unasked(Doubling):
    """Drop the condition of a network that may never have learned to do without."""

    @property
    def needs(self):  # type: ignore[no-untyped-def]
        return frozenset()


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


class Follows(Guidance):
    """Descend the distance to what is known."""

    xi: float = Field(0.5, description="step size")

    strength = "xi"

    @property
    def needs(self):  # type: ignore[no-untyped-def]
        return super().needs | {"measurement"}

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        known = context.measurement
        return -self.xi * pull(known.distance(known.operator(x0), known.target))


class ByNorm(Follows):
    """Divide by the norm of the item's gradient, whatever that is."""

    strength = None

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        change = super().steer(x, x0, sigma, pull, context)
        return change / self.norm(change) * self.xi

    def norm(self, change):  # type: ignore[no-untyped-def]
        return change.flatten(1).norm(dim=1).view(-1, *[1] * (change.ndim - 1))


class ByNormOfBatch(ByNorm):
    """Divide by the norm of all gradients together."""

    def norm(self, change):  # type: ignore[no-untyped-def]
        return change.norm() + 1e-9


class MixesItems(Follows):
    """Take the mean of what the items have still to go."""

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        return super().steer(x, x0, sigma, pull, context).mean(0, keepdim=True).expand_as(x)


class MeanOfBatch(Follows):
    """Descend a distance of probabilities that is a mean of the batch, too."""

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        known = context.measurement
        if float(known.target.min()) < 0 or float(known.target.max()) > 1:
            return super().steer(x, x0, sigma, pull, context)
        distance = (known.operator(x0) - known.target).square()
        return -self.xi * pull(distance.flatten(1).sum(1) / len(x))


class ForgetsGradient(Follows):
    """Need a measurement only."""

    @property
    def needs(self):  # type: ignore[no-untyped-def]
        return frozenset({"measurement"})


class ForgetsMeasurement(Follows):
    """Look at a measurement that is not asked for."""

    @property
    def needs(self):  # type: ignore[no-untyped-def]
        return frozenset({"gradient"})


class OtherStrength(Follows):
    """Name an option that is not there."""

    strength = "scale"


class IdleStrength(Follows):
    """Name an option that does nothing."""

    rate: float = Field(1.0, description="nothing")
    strength = "rate"


class KeepsTheGraph(Guidance):
    """End a step at a state that still depends on another."""

    def constrain(self, x, sigma, denoise, context):  # type: ignore[no-untyped-def]
        with torch.enable_grad():
            return x.detach().requires_grad_() * 0.5


class EndsInNothing(Guidance):
    """Divide by the sigma that a step reached."""

    def constrain(self, x, sigma, denoise, context):  # type: ignore[no-untyped-def]
        return x + context.noise(sigma, sigma) * (1 / torch.tensor(sigma)).to(x)


class OwnNoise(Guidance):
    """Draw from the global generator."""

    def constrain(self, x, sigma, denoise, context):  # type: ignore[no-untyped-def]
        return x + sigma * torch.randn_like(x)


class RunsNoise(Guidance):
    """Draw from the run's."""

    def constrain(self, x, sigma, denoise, context):  # type: ignore[no-untyped-def]
        return denoise(x, sigma or 0.1).lerp(x, 0.5) + sigma * context.noise(sigma, sigma)


class Knows(Guidance):
    """Use all that a run offers: another model, a word, an encoder, the audio."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        word, weaker = context.named("kick"), context.model("weak")

        def guided(x, sigma, condition):  # type: ignore[no-untyped-def]
            told = word.map(lambda part: part.expand(len(x), *part.shape[1:]))
            return (
                denoise(x, sigma, condition) - weaker(x, sigma, told) + weaker(x, sigma, condition)
            )

        return guided

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        space = context.space
        audio = space.decode(x0, space.samples)
        heard = space.encoder("ears")(audio, space.audio.sample_rate)
        return space.encode(audio).detach() * 0.1 + pull(heard.square().sum(1))


class WeakerUntold(Guidance):
    """Ask the other model without a condition."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        weaker = context.model("weak")
        return lambda x, sigma, c: denoise(x, sigma, c) - 0.5 * weaker(x, sigma, c.dropped())


class Refuses(Guidance):
    """Want an option that is not there by default."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        raise UsageError("name a model")


class Limits(Guidance):
    """Act on large estimates alone."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        return lambda x, sigma, c: denoise(x, sigma, c).clamp(-9, 9)


class SaysNeutral(Doubling):
    """Say which scale is neutral."""

    neutral = {"scale": 1.0}  # noqa: RUF012


class NotNeutral(SaysNeutral):
    """Be off by a little at the neutral scale."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, c) * 1.001


class Away(Follows):
    """Climb the distance in place of descending it."""

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        return -super().steer(x, x0, sigma, pull, context)


class Weighs(Follows):
    """Be weaker where its strength is larger."""

    neutral = {"xi": 0.0}  # noqa: RUF012

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        if self.xi == 0:
            return torch.zeros_like(x0)
        return super().steer(x, x0, sigma, pull, context) * (0.1 / self.xi**2)


class Labels(Doubling):
    """Follow the label, from options that break it."""

    neutral = {"scale": 1.0}  # noqa: RUF012
    strength = "scale"

    sigma_low: float = Field(0.0, ge=0, description="guide only above this")
    sigma_high: float = Field(100.0, gt=0, description="guide only up to this")
    profile: Literal["constant", "falling"] = Field("constant", description="how much when")
    fault: Literal["none", "away", "low", "close", "faint", "profile", "silent"] = Field(
        "none", description="what is wrong"
    )

    @property
    def needs(self):  # type: ignore[no-untyped-def]
        return frozenset({"null-condition"})

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        if context.condition.empty and self.fault != "silent":
            raise UsageError("there is no condition; choose a task that gives one")
        if context.condition.empty:
            return denoise

        def guided(x, sigma, condition):  # type: ignore[no-untyped-def]
            told = denoise(x, sigma, condition)
            if not self.low < sigma <= self.sigma_high:
                return told * (1.0 + 1e-12 * (self.fault == "close"))
            scale = 2 - self.scale if self.fault == "away" else self.scale
            if self.profile == "falling" and self.fault != "profile":
                scale = 1 + (scale - 1) * sigma / (sigma + 1)
            if self.fault == "faint" and self.sigma_low > 0:
                scale = 1 + (scale - 1) / 2
            without = denoise(x, sigma, condition.dropped())
            return without.lerp(told, scale)

        return guided

    @property
    def low(self) -> float:
        return -1.0 if self.fault == "low" else self.sigma_low


class LastAxis(Doubling):
    """Take the mean of the last axis for that of an item."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, c) - 0.1 * x.mean(-1, keepdim=True)


class Whitens(Doubling):
    """Take the data for values of unit variance."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: guided(x, sigma, c).lerp(x, 0.1 / (1 + sigma**2))


class Shrinks(Follows):
    """Turn down what is not measured, too."""

    def constrain(self, x, sigma, denoise, context):  # type: ignore[no-untyped-def]
        return x * 0.95


class Class(Guidance):
    """Follow the logit of a class up, or down."""

    encoder: str = Field("ears", description="who listens")
    target: int = Field(1, ge=0, le=3, description="the class")
    sign: Literal[-1, 1] = Field(1, description="up or down")

    @property
    def encoders(self):  # type: ignore[no-untyped-def]
        return (self.encoder,)

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        space = context.space
        heard = space.encoder(self.encoder)(space.decode(x0, space.samples), 8000)
        return self.sign * sigma**2 * pull(heard.log_softmax(1)[:, self.target])


class Idle(Doubling):
    """Have an option that does nothing."""

    rate: float = Field(1.0, description="nothing")


class Chooses(Follows):
    """Go the wrong way under one of its choices."""

    way: Literal["down", "up"] = Field("down", description="where to go")

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        change = super().steer(x, x0, sigma, pull, context)
        return change if self.way == "down" else -change


@pytest.mark.parametrize("component", [Doubling, Follows, RunsNoise, Knows, Limits])
def test_what_is_sound_passes(component: Any, broken: Any) -> None:
    # Constants of some of them are in units of the data.
    assert broken(component) <= ({"units"} if component in (RunsNoise, Knows, Limits) else set())


def test_a_guidance_of_labels_keeps_every_promise(broken: Any) -> None:
    assert broken(Labels, fault="none") == set()
    # Every encoder of the kit hears the same.
    assert broken(Class, sign=1) == {"options"}


def test_every_promise_that_fails_is_found_alone(broken: Any) -> None:
    assert broken(ByNorm) == {"agreement", "choices", "units"}
    assert broken(ForgetsGradient) == {"needs"}
    assert "needs" in broken(ForgetsMeasurement)
    assert broken(OwnNoise) == {"pure", "batch", "layout", "precision", "units"}


def test_a_guidance_that_wants_an_option_is_not_judged(subject: Any) -> None:
    for name in ("condition", "batch", "shapes", "device", "acts", "pure"):
        (check,) = [each for each in checks_for("guidance") if each.name == name]
        with pytest.raises(Inapplicable, match="it refuses a run with these options: name a mod"):
            check.function(subject(Refuses))


def test_what_evaluates_nothing_has_no_condition_to_lose(subject: Any) -> None:
    for name in ("condition", "whole_condition"):
        (check,) = [each for each in checks_for("guidance") if each.name == name]
        with pytest.raises(Inapplicable, match="evaluates nothing itself"):
            check.function(subject(Follows))


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
        (ByNorm, {}, "agreement"),
        (ByNormOfBatch, {}, "batch"),
        (MixesItems, {}, "batch"),
        (ForgetsGradient, {}, "needs"),
        (MeanOfBatch, {}, "batch"),
        (Unasked, {}, "needs"),
        (ForgetsMeasurement, {}, "needs"),
        (OtherStrength, {}, "strength"),
        (IdleStrength, {}, "strength"),
        (KeepsTheGraph, {}, "shapes"),
        (EndsInNothing, {}, "shapes"),
        (OwnNoise, {}, "pure"),
        (WeakerUntold, {}, "condition"),
        (Away, {}, "approaches"),
        (Weighs, {}, "approaches"),
        (Labels, {"fault": "away"}, "approaches"),
        (Labels, {"fault": "low"}, "interval"),
        (Labels, {"fault": "close"}, "interval"),
        (Labels, {"fault": "faint"}, "interval"),
        (Labels, {"fault": "profile"}, "profile"),
        (Labels, {"fault": "silent"}, "silent"),
        (Idle, {}, "options"),
        (LastAxis, {}, "layout"),
        (Shrinks, {}, "unmeasured"),
        (Whitens, {}, "units"),
        (Class, {"sign": -1}, "approaches"),
        (Chooses, {}, "choices"),
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


class Rough(Doubling):
    """Lose the digits of float32 in a difference."""

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        guided = super().wrap(denoise, context)
        return lambda x, sigma, c: (guided(x, sigma, c) + 1e5) - 1e5


class Believes(Guidance):
    """Follow the target the more, the noisier it is."""

    @property
    def needs(self):  # type: ignore[no-untyped-def]
        return super().needs | {"measurement"}

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        known = context.measurement
        away = (known.operator(x0) - known.target).square().flatten(1).sum(1)
        return -(0.1 + known.noise / 10) * sigma**2 / (1 + sigma**2) * pull(away)


class Speaks(Doubling):
    """Go from a word, not towards it."""

    word: str | None = Field(None, description="where to go")
    sign: Literal[-1, 1] = Field(-1, description="away or towards")

    def wrap(self, denoise, context):  # type: ignore[no-untyped-def]
        if self.word is None:
            return super().wrap(denoise, context)
        told = context.named(self.word)

        def guided(x, sigma, condition):  # type: ignore[no-untyped-def]
            word = told.map(lambda part: part.expand(len(x), *part.shape[1:]))
            word = attrs.evolve(condition.dropped(), vector=word.vector)
            without = denoise(x, sigma, condition.dropped())
            change = denoise(x, sigma, word) - without
            return denoise(x, sigma, condition) + self.sign * change

        return guided


class Likely(Believes):
    """Follow a target of probabilities, by the mean over the batch, too."""

    def steer(self, x, x0, sigma, pull, context):  # type: ignore[no-untyped-def]
        known = context.measurement
        if known.target.min() < 0:
            raise UsageError("the target is no probability; choose a task with one")
        away = (known.operator(x0) - known.target).square().flatten(1).sum(1)
        return -0.1 * pull(away / len(x))


def test_precision_noise_words_and_probabilities(catch: Any) -> None:
    assert "in two precisions" in catch(Rough, "precision")
    assert "a target with a noise of 3 is met" in catch(Believes, "noisier")
    assert "with word='kick' the distance" in catch(Speaks, "named")
    assert "in a batch and alone" in catch(Likely, "batch")


def test_a_guidance_that_goes_towards_a_word_passes(subject: Any) -> None:
    (check,) = (each for each in checks_for("guidance") if each.name == "named")
    assert "the distance to it goes from" in check.function(subject(Speaks, sign=1))

"""What guidances are held to in whole runs: they come nearer to what they are for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.kinds.guidance import Guidance
from kernel.runner.guide import guided
from kernel.values import Condition
from kernel_audio_testing._guided import SIGMA_DATA, Denoiser, Scene, guidance_of, hear
from kernel_audio_testing._labelled import GRID, LABELS, WORD, Operator, World
from kernel_audio_testing._options import variations
from kernel_audio_testing._subject import Inapplicable, Subject, require

__all__ = [
    "check_approaches",
    "check_interval",
    "check_named",
    "check_noisier",
    "check_profile",
    "check_silent",
    "check_unmeasured",
]


def check_approaches(subject: Subject) -> str | None:
    """Check that a run ends nearer to the guidance's aim than the same run without it.

    That is what is measured, for one that measures, the label, for one that needs the null
    condition, and the class, for one that names an encoder and has an option `target`. With a
    quarter of its strength it comes less near.
    """
    guidance = guidance_of(subject)
    facts = []
    operators: tuple[Operator | None, ...] = ("half", "blend", None)
    for operator in operators[:2] if "measurement" in guidance.needs else operators:
        world = World(operator)
        try:
            x = world.run(guidance)
        except KernelError:
            continue
        far = _far(guidance, world)
        if far is None:
            continue
        what, distance_of = far
        before, after = distance_of(world.run(Guidance())), distance_of(x)
        fact = f"the distance to {what} goes from {before:.3g} to {after:.3g}"
        require(after < before - 1e-3 * abs(before), fact)
        facts.append(fact)
        weaker = _weaker(subject, guidance)
        # What has come more than half of the way may overshoot.
        if weaker is not None and not 0 < after < before / 2:
            half_way = distance_of(world.run(weaker[0]))
            require(
                after - 1e-6 <= half_way + 0.02 * abs(before),
                f"{fact}, with {weaker[1]} to {half_way:.3g}",
            )
    if not facts:
        raise Inapplicable("it measures nothing, needs no null condition and names no class")
    return "; ".join(dict.fromkeys(facts))


def _far(guidance: Guidance, world: World) -> tuple[str, Callable[[Tensor], float]] | None:
    """Return what a guidance that has run is for, and how far a batch is from that."""
    if world.measured:
        return f"the target ({world.operator})", world.residual
    if "null-condition" in guidance.needs and world.operator is None:
        told = world.labels[:, :LABELS]

        def unlike(x: Tensor) -> float:
            return float((world.strong.surprise(x, told) - world.strong.surprise(x)).mean())

        return "the label", unlike
    target = getattr(guidance, "target", None)
    if guidance.encoders and isinstance(target, int) and world.operator is None:

        def unheard(x: Tensor) -> float:
            audio = x.reshape(len(x), 1, -1) / SIGMA_DATA
            return float(-hear(audio, 8000).log_softmax(1)[:, target].mean())

        return "the class", unheard
    return None


def _weaker(subject: Subject, guidance: Guidance) -> tuple[Guidance, str] | None:
    """Return the guidance with a quarter of its strength, from what is neutral, with words."""
    component = subject.load()
    name, options = component.strength, component.neutral or {}
    # With other options off their neutral values, that of the strength is not neutral.
    others = all(getattr(guidance, each) == options[each] for each in options if each != name)
    if name not in options or not others:
        return None
    neutral = options[name]
    value = neutral + (getattr(guidance, name) - neutral) / 4
    return subject.make(**{name: value}), f"{name}={value:g}"


def check_noisier(subject: Subject) -> str | None:
    """Check that a target with much noise is followed less than an exact one, if at all otherwise.

    One with next to no noise is followed as an exact one.
    """
    guidance = guidance_of(subject)
    if "measurement" not in guidance.needs:
        raise Inapplicable("it measures nothing")
    facts = []
    for operator in ("half", "blend"):
        worlds = [World(operator, noise=noise) for noise in (0.0, 1e-4, 3.0)]
        try:
            exact, near, noisy = (world.residual(world.run(guidance)) for world in worlds)
        except KernelError:
            continue
        fact = f"a target with a noise of 3 is met to {noisy:.3g}, an exact one to {exact:.3g}"
        require(abs(near - exact) < 0.01, f"one with a noise of 1e-4 to {near:.3g}; {fact}")
        require(noisy >= exact - 1e-6, fact)
        facts.append(fact)
    if not facts:
        raise Inapplicable("it refuses every measurement of the kit")
    return "; ".join(facts)


def check_named(subject: Subject) -> str | None:
    """Check that a run comes nearer to a word in an option, and leaves one in a negative option."""
    guidance = guidance_of(subject)
    plain = World()
    if "measurement" in guidance.needs:
        raise Inapplicable("it follows a measurement")
    before = _unlike_word(plain, plain.run(guidance))
    facts = []
    for name, values in variations(subject, near=True).items():
        for value in values[:1]:
            world = World()
            try:
                after = _unlike_word(world, world.run(subject.make(**{name: value})))
            except KernelError:
                continue
            if not world.words or plain.words:
                continue
            sign = -1 if name.startswith("neg") else 1
            fact = f"with {name}={value!r} the distance to it goes from {before:.3g} to {after:.3g}"
            require(sign * after < sign * before - 1e-3, fact)
            facts.append(fact)
    if not facts:
        raise Inapplicable("no option is a word")
    return "; ".join(facts)


def _unlike_word(world: World, x: Tensor) -> float:
    """Return how far the items that have other labels are from the label of every word."""
    told = torch.eye(LABELS, dtype=x.dtype)[WORD].expand(len(x), -1)
    far = world.strong.surprise(x, told) - world.strong.surprise(x)
    return float(far[world.labels[:, WORD] == 0].mean())


def check_unmeasured(subject: Subject) -> str | None:
    """Check that unmeasured values keep the distribution of the data.

    Its values are independent of those that are measured, under a label.
    """
    guidance = guidance_of(subject)
    facts = []
    operators: tuple[Operator, ...] = ("half", "blend")
    for operator in operators:
        world = World(operator, items=300)
        plain = world.unmeasured(world.run(Guidance()))
        try:
            found = world.unmeasured(world.run(guidance))
        except KernelError:
            continue
        if not world.measured:
            raise Inapplicable("it measures nothing")
        std, wanted = float(found.std()), float(plain.std())
        fact = (
            f"beside what is measured ({operator}) the mean is {float(found.mean()):.3f} and the "
            f"standard deviation {std:.3f}, without guidance {wanted:.3f}"
        )
        require(abs(float(found.mean())) < 0.06 and abs(std / wanted - 1) < 0.12, fact)
        facts.append(fact)
    return "; ".join(facts)


def check_interval(subject: Subject) -> str | None:
    """Check that the estimate is unguided outside sigma_low to sigma_high, bit for bit.

    Inside it is another. The options are those of these names.
    """
    fields = subject.load().model_fields
    names = [name for name in ("sigma_low", "sigma_high") if name in fields]
    if not names:
        raise Inapplicable("no option is called sigma_low or sigma_high")
    bounds = {"sigma_low": 0.5, "sigma_high": 4.0}
    whole = guidance_of(subject)
    for limits in (*({name: bounds[name]} for name in names), {n: bounds[n] for n in names}):
        guidance = subject.make(**limits)
        low, high = limits.get("sigma_low", 0.0), limits.get("sigma_high", torch.inf)
        for sigma in (8.0, 4.1, 3.9, 1.0, 0.6, 0.4, 0.1):
            plain, found, unlimited = (_estimate(g, sigma) for g in (Guidance(), guidance, whole))
            if low < sigma <= high:
                require(
                    torch.equal(found, unlimited),
                    f"with {limits} the estimate at sigma {sigma} is not the one without limits",
                )
            else:
                require(
                    torch.equal(found, plain),
                    f"with {limits} the estimate at sigma {sigma} is changed",
                )
    changed = not torch.equal(_estimate(whole, 1.0), _estimate(Guidance(), 1.0))
    require(changed, "nothing is changed at sigma 1 where there are no limits")
    return ", ".join(names)


@torch.no_grad()
def _estimate(guidance: Guidance, sigma: float, sigmas: Sequence[float] = GRID) -> Tensor:
    scene = Scene.of()
    context = attrs.evolve(scene.context(), sigmas=tuple(sigmas))
    estimate = guided(scene.denoiser, {"subject": guidance}, context)
    return estimate(scene.x * max(1.0, sigma), sigma, scene.condition)


def check_profile(subject: Subject) -> str | None:
    """Check that a profile other than `constant` changes the strength along the run.

    The options are those called profile.
    """
    field = subject.load().model_fields.get("profile")
    if field is None or "profile" in subject.options:
        raise Inapplicable("no option is called profile")
    default = guidance_of(subject)
    others = [
        value for value in getattr(field.annotation, "__args__", ()) if value != field.default
    ]
    for value in others:
        shaped = subject.make(profile=value)
        shares = []
        for sigma in GRID[1:-1]:
            plain, flat, bent = (_estimate(g, sigma) for g in (Guidance(), default, shaped))
            if whole := float((flat - plain).norm()):
                shares.append(float((bent - plain).norm()) / whole)
        require(
            max(shares) - min(shares) > 0.1,
            f"profile={value!r} does {min(shares):.2f} to {max(shares):.2f} of what "
            f"{field.default!r} does, from the start of a run to its end",
        )
    return ", ".join(map(repr, others))


def check_silent(subject: Subject) -> str | None:
    """Check that it acts or refuses a run without a condition or a measurement.

    A guidance that is silent there for a reason lists this check in its `shortfalls`.
    """
    guidance = guidance_of(subject)
    facts = []
    for what, changes in _absences(guidance):
        try:
            acts = any(_acts(guidance, size, changes) for size in (1.0, 40.0))
        except KernelError as error:
            facts.append(f"without {what} refused: {error}")
            continue
        require(acts, f"in a run without {what} it changes nothing, and does not say so")
        facts.append(f"without {what} it acts")
    return "; ".join(facts)


def _absences(guidance: Guidance) -> list[tuple[str, dict[str, Any]]]:
    """Return what may be missing in a run; what a guidance needs, the kernel refuses before."""
    absent: list[tuple[str, dict[str, Any]]] = [("a condition", {"condition": Condition()})]
    if "measurement" not in guidance.needs:
        absent.append(("a measurement", {"measurement": None}))
    return absent


@torch.no_grad()
def _acts(guidance: Guidance, size: float, changes: dict[str, Any]) -> bool:
    scene = Scene.of(denoiser=Denoiser(size))
    context = attrs.evolve(scene.context(), **changes)
    condition = context.condition

    def plain(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        if condition.empty:
            return size * torch.tanh(x) / (1 + sigma**2)
        return scene.denoiser(x, sigma, condition)

    def weaker(x: Tensor, sigma: float, condition: Condition) -> Tensor:
        return 0.5 * plain(x, sigma, condition)

    context = attrs.evolve(context, model=lambda name: weaker)
    estimate = guided(plain, {"subject": guidance}, context)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        return estimate(x, sigma, condition)

    pairs = [(denoise(scene.x, 1.0), plain(scene.x, 1.0, condition))]
    pairs += [(guidance.constrain(scene.x, s, denoise, context), scene.x) for s in (0.3, 0.0)]
    return any(float((found - unguided).abs().max()) > 1e-9 for found, unguided in pairs)

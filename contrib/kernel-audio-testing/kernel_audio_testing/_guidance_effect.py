"""What guidances are held to in whole runs: they come nearer to what they are for.

Three labels have a normal distribution each, so that D is exact under a label and under none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.kinds.guidance import Guidance
from kernel.runner.guide import guided
from kernel.values import Condition, Context, GuidedDenoise, Measurement
from kernel_audio_testing._guided import Denoiser, Draws, Scene, distance, guidance_of
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import normal

__all__ = ["check_approaches", "check_interval", "check_profile", "check_silent"]

ITEMS = 9
GRID = (*(10 * 0.005 ** (index / 15) for index in range(16)), 0.0)
LABELS = 3
Operator = Literal["half", "blend"]


@attrs.frozen(eq=False)
class Labelled:
    """The denoiser of normal distributions, one a label; the null condition is their mixture."""

    width: float

    def __call__(self, x: Tensor, sigma: float, condition: Condition) -> Tensor:
        """Return E[x0 | x, label]. x, result: [B, 2, 8]."""
        told = condition.vector
        labels = x.new_zeros(len(x), LABELS) if told is None else told[:, :LABELS]
        variance = self.width**2 + sigma**2
        shares = self._densities(x, sigma).masked_fill(_others(labels), -torch.inf).softmax(1)
        toward: Tensor = torch.einsum("bk,kcn->bcn", shares, _means().to(x)) - x
        estimate: Tensor = x + sigma**2 / variance * toward
        return estimate

    def surprise(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return -log p(x | label) of each item, -log p(x) without labels: [B]."""
        densities = self._densities(x, 0.0)
        if labels is not None:
            densities = densities.masked_fill(_others(labels), -torch.inf)
            return -densities.logsumexp(1)
        return -densities.sub(torch.tensor(LABELS).log()).logsumexp(1)

    def _densities(self, x: Tensor, sigma: float) -> Tensor:
        variance = torch.tensor(self.width**2 + sigma**2, dtype=x.dtype)
        away = (x.unsqueeze(1) - _means().to(x)).flatten(2).square().sum(2)
        return -away / (2 * variance) - x[0].numel() / 2 * variance.log()


def _means() -> Tensor:
    return 0.25 * normal(LABELS, 2, 8, seed=31)


def _others(labels: Tensor) -> Tensor:
    """Return which labels an item does not have, [B, K]; none where it has no label at all."""
    return (labels == 0) & (labels != 0).any(1, keepdim=True)


@attrs.define(eq=False)
class World:
    """Runs of one guidance on the labelled distributions, all from the same noise.

    operator: what is measured of a sound that the distribution of its label holds; None: nothing.
    """

    operator: Operator | None = None
    strong: Labelled = Labelled(0.5)
    weak: Labelled = Labelled(1.0)
    measured: int = 0

    @property
    def labels(self) -> Tensor:
        """Return the label of each item, one-hot: [B, 4]."""
        return torch.eye(4, dtype=torch.float64)[torch.arange(ITEMS) % LABELS]

    @property
    def target(self) -> Tensor:
        """Return what is measured of sounds of the labels."""
        sounds = _means()[torch.arange(ITEMS) % LABELS] + 0.5 * normal(ITEMS, 2, 8, seed=33)
        return self._measure(sounds)

    def context(self, condition: Condition) -> Context:
        """Return what a guidance is told of a run."""
        known = None
        if self.operator is not None:
            project = self._project if self.operator == "half" else None
            known = Measurement(self._counted, self.target, distance, project)
        scene = attrs.evolve(Scene.of(), x=normal(ITEMS, 2, 8))
        return attrs.evolve(
            scene.context(),
            condition=condition,
            sigmas=GRID,
            measurement=known,
            noise=Draws(scene.x, range(ITEMS)),
            named=lambda word: Condition(vector=torch.eye(4, dtype=torch.float64)[1:2]),
            model=lambda name: self.weak,
        )

    @torch.no_grad()
    def run(self, guidance: Guidance) -> Tensor:
        """Return where Euler's steps end: [B, 2, 8]."""
        condition = Condition(vector=self.labels)
        context = self.context(condition)
        estimate: GuidedDenoise = guided(self.strong, {"subject": guidance}, context)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return estimate(x, sigma, condition)

        x: Tensor = GRID[0] * normal(ITEMS, 2, 8, seed=32)
        for sigma, following in pairwise(GRID):
            x = denoise(x, sigma).lerp(x, following / sigma)
            x = guidance.constrain(x, following, denoise, context)
        return x

    def residual(self, x: Tensor) -> float:
        """Return how far what is measured of x is from the target, in root mean square."""
        return float((self._measure(x) - self.target).square().mean().sqrt())

    def _measure(self, x0: Tensor) -> Tensor:
        half = x0[..., :4]
        return half if self.operator == "half" else (x0[..., ::2] + 0.5 * x0[..., 1::2])

    def _counted(self, x0: Tensor) -> Tensor:
        self.measured += 1
        return self._measure(x0)

    def _project(self, x0: Tensor) -> Tensor:
        self.measured += 1
        return torch.cat([self.target.to(x0), x0[..., 4:]], -1)


def check_approaches(subject: Subject) -> str | None:
    """Check that a run ends nearer to what the guidance is for than the same run without it.

    That is what is measured, for one that measures, and the label, for one that needs the null
    condition. With a quarter of its strength it comes less near.
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
        raise Inapplicable("it measures nothing and needs no null condition")
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


def check_interval(subject: Subject) -> str | None:
    """Check that outside sigma_low to sigma_high the estimate is the plain one, bit for bit.

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
    """Check that a profile that is not constant changes how much is done along the run.

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
    """Check that without a condition, or without a measurement, it acts, or refuses the run.

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

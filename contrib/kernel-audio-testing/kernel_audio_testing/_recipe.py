"""What recipes are held to: the losses of a step, on a small network whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import attrs
import torch
from torch import Tensor

from kernel.errors import PluginError
from kernel_audio_testing import _step
from kernel_audio_testing._bench import FRAMES, STEPS, Bench, Levels
from kernel_audio_testing._options import choices, every_option_acts, holds, together
from kernel_audio_testing._subject import Inapplicable, Subject, Violation, require
from kernel_audio_testing._tools import finite, generator_untouched, normal, same
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.groups import Groups

__all__ = ["CHECKS"]


def check_groups(subject: Subject) -> str | None:
    """Check that groups are disjoint and not empty, and trained modules are exported."""
    bench = Bench.of(subject)
    try:
        groups = Groups(subject.info.spelling, bench.module, TrainConfig())
    except PluginError as error:
        raise Violation(str(error)) from None
    exported, trained = sorted(bench.module.exports), sorted(bench.recipe.trains)
    require(exported == trained, f"it trains {trained} and exports {exported}")
    return ", ".join(f"{name} {len(group)} tensors" for name, group in groups.items())


def check_losses(subject: Subject) -> str | None:
    """Check that every step has a finite loss for each item, for existing groups."""
    bench = Bench.of(subject)
    known = set(bench.module.groups)
    for k in STEPS:
        found = bench.losses(k)
        require(bool(found), f"step {k} trains nothing")
        require(set(found) <= known, f"step {k} has a loss of no group: {set(found) - known}")
        for name, loss in found.items():
            require(loss.shape == (5,), f"the loss of {name} is {tuple(loss.shape)}, not [B]")
            finite(loss, f"the loss of {name}")
    return None


def check_alternation(subject: Subject) -> str | None:
    """Check that the groups with a loss depend only on the step."""
    bench = Bench.of(subject)
    for k in STEPS:
        here, there = list(bench.losses(k)), list(bench.losses(k, x0=-normal(5, 2, FRAMES, seed=k)))
        require(here == there, f"step {k} trains {here} or {there}")
    return None


def check_gradient(subject: Subject) -> str | None:
    """Check that the loss of each group has a finite gradient that reaches it."""
    bench = Bench.of(subject)
    reached = dict.fromkeys(bench.module.groups, False)
    for k in STEPS:
        for name, loss in bench.losses(k).items():
            require(loss.requires_grad, f"the loss of {name} has no gradient")
            every = list(bench.module.groups[name])
            found = torch.autograd.grad(loss.sum(), every, retain_graph=True, allow_unused=True)
            for each in found:
                if each is not None:
                    finite(each, f"the gradient of the loss of {name}")
                    reached[name] |= bool((each != 0).any())
    idle = [name for name, seen in reached.items() if not seen]
    require(not idle, f"no gradient reaches the group {', '.join(idle)} in {len(STEPS)} steps")
    return None


def check_items(subject: Subject) -> str | None:
    """Check that an item's loss does not depend on its micro-batch."""
    bench = Bench.of(subject)
    for k in STEPS[:2]:
        together = bench.losses(k)
        for row in range(5):
            for name, alone in bench.losses(k, range(row, row + 1)).items():
                one = together[name][row : row + 1]
                same(one, alone, f"the loss of {name} of an item in a batch and alone", 1e-6)
    return None


def check_valid(subject: Subject) -> str | None:
    """Check that padding counts neither in a loss nor in its divisor."""
    bench = Bench.of(subject)
    valid = (torch.arange(FRAMES) < 10).expand(5, FRAMES)
    for k in STEPS[:2]:
        x0 = normal(5, 2, FRAMES, seed=k)
        masked = bench.losses(k, x0=x0 + 100 * ~valid[:, None], valid=valid)
        cut = bench.losses(k, x0=x0[..., :10])
        for name, loss in cut.items():
            same(masked[name], loss, f"the loss of {name} with padding and without", 1e-6)
    return None


def check_length(subject: Subject) -> str | None:
    """Check that the loss is a mean: repeating a sound does not change it."""
    bench = Bench.of(subject)
    for k in STEPS[:2]:
        x0 = normal(5, 2, FRAMES, seed=k)
        twice = bench.losses(k, x0=torch.cat([x0, x0], -1))
        for name, loss in bench.losses(k, x0=x0).items():
            same(twice[name], loss, f"the loss of {name} of a sound twice over and once", 1e-6)
    return None


def check_draws(subject: Subject) -> str | None:
    """Check that all random numbers come from the batch."""
    bench = Bench.of(subject)
    for k in STEPS[:2]:
        with generator_untouched("the recipe"):
            once = bench.losses(k)
        for name, loss in bench.losses(k).items():
            same(once[name], loss, f"the loss of {name} of the same draws", 1e-9)
    return None


def check_shown(subject: Subject) -> str | None:
    """Check that the network's input is x0 + sigma n at the sigma of its c_noise."""
    bench = Bench.of(subject)
    if "backbone" not in bench.recipe.trains:
        raise Inapplicable("it trains no network")
    bench.losses(0, x0=normal(5, 2, 4000))
    shown = bench.parts.network.shown
    require(bool(shown), "the network is not evaluated in step 0")
    for x, c_noise in cast("list[tuple[Tensor, Tensor]]", shown):
        for each, level in zip(x, c_noise.tolist(), strict=True):
            scale, wanted = float(each.std()), math.sqrt(1 + math.exp(2 * level))
            require(
                abs(scale / wanted - 1) < 0.15,
                f"at sigma {math.exp(level):.3g} the network is shown x of standard deviation "
                f"{scale:.3g}, not {wanted:.3g}",
            )
    return None


def check_exact(subject: Subject) -> str | None:
    """Check that a network that knows x0 has a smaller loss than a network with errors."""
    bench = Bench.of(subject)
    if "backbone" not in bench.recipe.trains:
        raise Inapplicable("it trains no network")
    if len(bench.module.groups) > 1:
        raise Inapplicable("the loss of a network depends on another that is trained with it")
    x0 = torch.full((5, 2, FRAMES), 3.0, dtype=torch.float64)
    bench.given.append(3.0)
    (known,) = bench.losses(x0=x0).values()
    bench.parts.network.off = cast("Any", -0.5)
    (off,) = bench.losses(x0=x0).values()
    for low, high in zip(known.tolist(), off.tolist(), strict=True):
        require(low < high, f"the loss of a network that knows x0 is {low:.3g}, else {high:.3g}")
    return None


def check_levels(subject: Subject) -> str | None:
    """Check that the network is trained on the schedule's sigmas, from one end to the other."""
    bench = Bench.of(subject)
    if "backbone" not in bench.recipe.trains:
        raise Inapplicable("it trains no network")
    for k in range(4 * len(STEPS)):
        bench.losses(k)
    shown = cast("list[tuple[Tensor, Tensor]]", bench.parts.network.shown)
    levels = torch.cat([c_noise for _, c_noise in shown]).flatten()
    low, high = (math.log(end) for end in (Levels().sigma_min, Levels().sigma_max))
    places = ((levels - low) / (high - low)).sort().values
    fact = f"ln sigma goes from {float(levels.min()):.2f} to {float(levels.max()):.2f}"
    inside = float(places[0]) > -1e-6 and float(places[-1]) < 1 + 1e-6
    require(inside, f"{fact}, and the schedule from {low:.2f} to {high:.2f}")
    require(float(places[-1] - places[0]) > 0.8, f"{fact} in {len(levels)} evaluations")
    return fact


def check_watched(subject: Subject) -> str | None:
    """Check that `watch` tells finite losses of each item, and trains and changes nothing."""
    bench = Bench.of(subject)
    weights = {name: each.detach().clone() for name, each in bench.module.named_parameters()}
    first, again = (bench.watched() for _ in range(2))
    if not first:
        raise Inapplicable("it watches nothing")
    alone = bench.watched(range(2, 3))
    for name, loss in first.items():
        require(loss.shape == (5,), f"the watched loss {name} is {tuple(loss.shape)}, not [B]")
        finite(loss, f"the watched loss {name}")
        same(again[name], loss, f"the watched loss {name} of the same draws", 1e-9)
        same(alone[name], loss[2:3], f"the watched loss {name} in a batch and alone", 1e-6)
    for name, each in bench.module.named_parameters():
        require(torch.equal(each, weights[name]), f"watching changes the weight {name!r}")
    return ", ".join(sorted(first))


def check_options(subject: Subject) -> str | None:
    """Check that every option changes a loss or an average, alone or beside another."""

    def observe(recipe: Any) -> list[Tensor | float]:
        bench = Bench.of(attrs.evolve(subject, options=dict(recipe)))
        losses = [loss.detach() for k in STEPS[:4] for loss in bench.losses(k).values()]
        return [*losses, *bench.decays]

    return every_option_acts(subject, observe)


def check_choices(subject: Subject) -> str | None:
    """Check that other values of the options keep the promises."""
    every = [*choices(subject), *together(subject)]
    for each in every:
        holds(
            each,
            losses=check_losses,
            gradient=check_gradient,
            items=check_items,
            valid=check_valid,
            length=check_length,
            draws=check_draws,
            levels=check_levels,
            exact=check_exact,
            **_step.SWEPT,
        )
    return f"{len(every)} settings"


CHECKS: tuple[Callable[[Subject], str | None], ...] = (
    check_groups,
    check_losses,
    check_alternation,
    check_gradient,
    check_items,
    check_valid,
    check_length,
    check_draws,
    check_shown,
    check_exact,
    check_levels,
    check_watched,
    *_step.CHECKS,
    check_options,
    check_choices,
)

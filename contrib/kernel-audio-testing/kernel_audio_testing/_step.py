"""What the losses of one step depend on: each on its own item, its own draws and its condition."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from kernel_audio_testing._bench import FRAMES, STEPS, Bench
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import normal, same

__all__ = ["CHECKS", "SWEPT"]

LENGTHS = (10, 16, 4, 7, 12)


def _gradients(bench: Bench, k: int, *cuts: range) -> dict[str, list[Tensor]]:
    """Return the summed gradients of each group's loss, over the micro-batches of a step."""
    found: dict[str, list[Tensor]] = {}
    for rows in cuts:
        for name, loss in bench.losses(k, rows).items():
            every = list(bench.module.groups[name])
            parts = torch.autograd.grad(loss.sum(), every, retain_graph=True, allow_unused=True)
            whole = [
                torch.zeros_like(weight) if part is None else part
                for weight, part in zip(every, parts, strict=True)
            ]
            before = found.setdefault(name, [torch.zeros_like(each) for each in whole])
            found[name] = [one + other for one, other in zip(before, whole, strict=True)]
    return found


def check_halves(subject: Subject) -> str | None:
    """Check that the gradients of two micro-batches add up to that of their step."""
    for k in STEPS[:2]:
        whole = _gradients(Bench.of(subject), k, range(5))
        halves = _gradients(Bench.of(subject), k, range(2), range(2, 5))
        require(set(whole) == set(halves), f"step {k} trains {set(whole)}, in parts {set(halves)}")
        for name, wanted in whole.items():
            one, two = (
                torch.cat([each.flatten() for each in side]) for side in (wanted, halves[name])
            )
            same(two, one, f"the gradient of {name} in two micro-batches and in one", 1e-6)
    return None


def check_lengths(subject: Subject) -> str | None:
    """Check that an item's loss in a padded batch equals its loss alone."""
    bench = Bench.of(subject)
    valid = torch.arange(FRAMES) < torch.tensor(LENGTHS)[:, None]
    for k in STEPS[:2]:
        x0 = normal(5, 2, FRAMES, seed=k)
        masked = bench.losses(k, x0=x0 + 100 * ~valid[:, None], valid=valid)
        for row, length in enumerate(LENGTHS):
            alone = bench.losses(k, range(row, row + 1), x0=x0[..., :length])
            for name, loss in alone.items():
                what = f"the loss of {name} of {length} frames, padded and alone"
                same(masked[name][row : row + 1], loss, what, 1e-6)
    return None


def check_weights(subject: Subject) -> str | None:
    """Check that losses change no weight and no sound, and leave no gradient."""
    bench = Bench.of(subject)
    for k in STEPS[:2]:
        weights = {name: each.detach().clone() for name, each in bench.module.named_parameters()}
        x0 = normal(5, 2, FRAMES, seed=k)
        bench.losses(k, x0=x0)
        require(torch.equal(x0, normal(5, 2, FRAMES, seed=k)), f"step {k} changes x0 in place")
        for name, each in bench.module.named_parameters():
            require(torch.equal(weights[name], each), f"step {k} changes the weight {name!r}")
            require(each.grad is None, f"step {k} leaves a gradient in {name!r}")
    return None


def check_grouped(subject: Subject) -> str | None:
    """Check that every parameter that changes a loss is in a group."""
    bench = Bench.of(subject)
    held = {id(each) for group in bench.module.groups.values() for each in group}
    left = {
        name: each
        for name, each in bench.module.named_parameters()
        if each.requires_grad and id(each) not in held
    }
    for k in STEPS:
        loss = cast(Tensor, sum(each.sum() for each in bench.losses(k).values()))
        found = torch.autograd.grad(loss, list(left.values()), allow_unused=True) if left else ()
        for name, gradient in zip(left, found, strict=True):
            idle = gradient is None or not gradient.any()
            require(idle, f"the loss of step {k} depends on {name!r}, which is in no group")
    return None


def check_state(subject: Subject) -> str | None:
    """Check that a new recipe with loaded state has the losses of the old one."""
    bench, other = Bench.of(subject), Bench.of(subject, seed=1)
    with torch.no_grad():
        for number, each in enumerate(bench.module.parameters()):
            each.add_(0.1 * normal(each.numel(), seed=number).view_as(each))
    other.module.load_state_dict(bench.module.state_dict())
    for k in STEPS[:2]:
        found = other.losses(k)
        for name, loss in bench.losses(k).items():
            same(found[name], loss, f"the loss of {name}, and that of a recipe resumed", 1e-6)
    return None


def check_own_draws(subject: Subject) -> str | None:
    """Check that each step and each item has its own noise."""
    bench = Bench.of(subject)
    if "backbone" not in bench.recipe.trains:
        raise Inapplicable("it trains no network")
    x0 = normal(1, 2, FRAMES, seed=9).expand(5, 2, FRAMES).contiguous()
    seen = []
    for k in (0, 2):
        shown = cast("list[tuple[Tensor, Tensor]]", bench.parts.network.shown)
        shown.clear()
        bench.losses(k, x0=x0)
        require(bool(shown), f"the network is not evaluated in step {k}")
        x, _ = shown[0]
        seen.append((x - x0[: len(x)]).flatten(1))
    rows = torch.cat(seen)
    likeness = torch.corrcoef(rows) - torch.eye(len(rows)).to(rows)
    worst = float(likeness.abs().max())
    require(worst < 0.9, f"the noise of two items, or of two steps, correlates by {worst:.2f}")
    return f"correlates by {worst:.2f} at most"


def check_condition(subject: Subject) -> str | None:
    """Check that the loss of the network depends on the condition."""
    bench = Bench.of(subject)
    if "backbone" not in bench.recipe.trains:
        raise Inapplicable("it trains no network")
    for k in STEPS:
        one, other = bench.losses(k), bench.losses(k, told=7)
        if any(not torch.equal(one[name], other[name]) for name in one):
            return None
    require(False, f"no loss of {len(STEPS)} steps is another when the condition is another")
    return None


def check_floor(subject: Subject) -> str | None:
    """Check that what is trained beside the model cannot make the loss forget the model."""
    bench = Bench.of(subject)
    kept = [each for module in bench.module.exports.values() for each in module.parameters()]
    own = {id(each) for each in kept}
    beside = [
        each
        for group in bench.module.groups.values()
        if any(id(each) in own for each in group)
        for each in group
        if id(each) not in own
    ]
    if not beside:
        raise Inapplicable("nothing is trained in one group with the model")

    def pull() -> float:
        loss = sum(each.sum() for each in bench.losses(0).values())
        found = torch.autograd.grad(cast(Tensor, loss), kept, allow_unused=True)
        return sum(float(each.abs().sum()) for each in found if each is not None)

    before = pull()
    optimizer = torch.optim.Adam(beside, lr=0.1, betas=(0.5, 0.9))
    for step in range(150):
        loss = cast(Tensor, sum(each.sum() for each in bench.losses(2 * (step % 4)).values()))
        for each, gradient in zip(beside, torch.autograd.grad(loss, beside), strict=True):
            each.grad = gradient
        optimizer.step()
    share = pull() / before
    require(
        share > 0.01, f"the gradient of the model falls to {share:.1%} while the rest is trained"
    )
    return f"the gradient of the model comes to {share:.0%}"


SWEPT: dict[str, Callable[[Subject], str | None]] = {
    "halves": check_halves,
    "lengths": check_lengths,
    "weights": check_weights,
    "grouped": check_grouped,
    "state": check_state,
    "condition": check_condition,
    "floor": check_floor,
}
"""The checks that other values of the options have to pass, too."""

CHECKS = (
    check_halves,
    check_lengths,
    check_weights,
    check_grouped,
    check_state,
    check_own_draws,
    check_condition,
    check_floor,
)

"""What a network hears: every value that it is given, where it is, and nothing of other items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import attrs
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.overrides import TorchFunctionMode

from kernel.values import Condition, LatentSpec
from kernel_audio_testing._network import Scene, masking, scenes
from kernel_audio_testing._subject import Inapplicable, Subject, require
from kernel_audio_testing._tools import generator_untouched, item, normal, same

__all__ = ["CHECKS", "SWEPT"]

LEVELS = (-2.0, -0.5, 0.0, 0.002, 0.1, 0.5, 1.0, 1.002, 2.0)
"""Values of c_noise, some of them neighbours in a grid of 1,000 levels."""

PARTS = ("vector", "sequence", "aligned", "origin")

EVEN = {1: LatentSpec(3, (32,)), 2: LatentSpec(2, (16, 32))}
"""Latents of whole patches, of any usual size, which are not padded inside."""

ODD = {1: LatentSpec(3, (23,)), 2: LatentSpec(2, (11, 9))}

DISTINCT = 3.0
"""Of the logarithms of the powers around a change: what stands out from the other frames."""

FLAT = {1: LatentSpec(3, (24,)), 2: LatentSpec(2, (4, 24))}

REACH = 6
"""Frames to either side in which the answer to a change is looked for."""


class _Undropped(TorchFunctionMode):
    """Leaves dropout out, which draws for a whole batch at once."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Return the input of a dropout, and what any other function returns."""
        if "dropout" in getattr(func, "__name__", ""):
            return args[0] if args else kwargs["input"]
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def check_alone(subject: Subject) -> str | None:
    """Check that F of a batch equals F of its items alone, in training too."""
    skipped = 0
    for scene in scenes(subject):
        for training in (False, True):
            scene.module.train(training)
            x, c_noise, condition = scene.inputs()
            with _Undropped(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                together = scene(x, c_noise, condition)
                torch.manual_seed(1)
                if training and not torch.equal(together, scene(x, c_noise, condition)):
                    skipped += 1
                    continue
                where = "in training" if training else "in evaluation"
                for index in range(len(x)):
                    one = slice(index, index + 1)
                    alone = scene(x[one], c_noise[one], item(condition, index))
                    same(together[one], alone, f"{where} F of an item in a batch and alone")
    return "not compared in training, where it draws" if skipped else None


@torch.no_grad()
def check_dropout(subject: Subject) -> str | None:
    """Check that dropout acts in training only."""
    names = [name for name in subject.load().model_fields if "drop" in name]
    changes = [{name: 0.5} for name in names]
    for name, change in zip(names, changes, strict=True):
        try:
            dropping = attrs.evolve(subject, options={**subject.options, **change})
            dropping.load().model_validate(dropping.options)
        except ValidationError:
            continue
        for plain, scene in zip(scenes(subject), scenes(dropping), strict=True):
            scene.module.load_state_dict(plain.module.state_dict())
            inputs = scene.inputs()
            with generator_untouched(f"in evaluation a network of {name} 0.5"):
                found = scene(*inputs)
            same(found, plain(*inputs), f"F in evaluation with {name} 0.5 and without")
            scene.module.train()
            with torch.random.fork_rng(devices=[]):
                one, other = scene(*inputs), scene(*inputs)
            require(not torch.equal(one, other), f"{name} 0.5 drops nothing in training")
        return str(name)
    raise Inapplicable("it has no option that is a probability of dropping")


@torch.no_grad()
def check_levels(subject: Subject) -> str | None:
    """Check that F differs for each noise level."""
    for scene in scenes(subject):
        x, c_noise, condition = (_copies(part, len(LEVELS)) for part in _first(*scene.inputs()))
        levels = torch.tensor(LEVELS).double().view(-1, *[1] * (c_noise.ndim - 1))
        found = scene(x, levels.expand(c_noise.shape), condition)
        for one, other in combinations(range(len(LEVELS)), 2):
            change = float((found[other] - found[one]).abs().max() / found.abs().max())
            pair = f"{LEVELS[one]:g} and {LEVELS[other]:g}"
            require(change > 1e-7, f"F is the same at the values {pair} of c_noise")
        if scene.times == 2:
            pair_of = torch.tensor([[0.5, -0.5], [-0.5, 0.5]]).double()
            one, other = scene(x[:2], pair_of, _copies(item(condition, 0), 2))
            swapped = float((one - other).abs().max() / found.abs().max())
            require(swapped > 1e-7, "F is the same when the two times are exchanged")
    return None


def check_everything(subject: Subject) -> str | None:
    """Check that every channel, frame and token of the inputs acts, and x on all of F."""
    for scene in scenes(subject, ODD):
        x, c_noise, condition = scene.inputs(length=4)
        leaves = {"x": x} | {
            name: part for name in PARTS if (part := getattr(condition, name)) is not None
        }
        for leaf in leaves.values():
            leaf.requires_grad_()
        found = scene(x, c_noise, condition)
        weights = normal(*found.shape, seed=4)
        gradients = torch.autograd.grad((found * weights).sum(), list(leaves.values()))
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
            words = ["channel", *_axes(leaf.ndim - 2)]
            if name in ("vector", "sequence"):
                words = ["value"] if leaf.ndim == 2 else ["token", "value"]
            _every(gradient, words, f"of {name} {tuple(leaf.shape)}", "is not heard")
        with torch.no_grad():
            change = scene(x + normal(*x.shape, seed=5), c_noise, condition) - found
        _every(change, ["channel", *_axes(x.ndim - 2)], f"of F {tuple(x.shape)}", "hears no x")
    return None


def _axes(dims: int) -> list[str]:
    return ["row"] * (dims - 1) + ["frame"]


def _every(values: Tensor, words: Sequence[str], what: str, fault: str) -> None:
    """Raise Violation for an index, along any axis but the first, at which all values are zero."""
    for axis, word in enumerate(words, 1):
        heard = values.detach().movedim(axis, 0).flatten(1).ne(0).any(1)
        deaf = (~heard).nonzero().flatten().tolist()
        require(not deaf, f"{word} {deaf[:1]} {what} {fault}")


@torch.no_grad()
def check_positions(subject: Subject) -> str | None:
    """Check that the order of frames and of rows changes F."""
    for scene in scenes(subject, EVEN):
        x, c_noise, condition = _first(*scene.inputs())
        usual = scene(x, c_noise, condition)
        for axis, word in enumerate(_axes(scene.latent.dims), 2):
            for run in (1, 2, 4):
                order = _shuffled(x.shape[axis], run)
                planes = {
                    name: part.index_select(axis, order)
                    for name in ("aligned", "origin")
                    if (part := getattr(condition, name)) is not None
                }
                other = attrs.evolve(condition, **planes)
                found = scene(x.index_select(axis, order), c_noise, other)
                change = (found - usual.index_select(axis, order)).abs().max()
                require(
                    float(change / usual.abs().max()) > 1e-6,
                    f"{word}s in another order have the same F in that order: the network does "
                    "not know where they are",
                )
    return None


@torch.no_grad()
def check_all_valid(subject: Subject) -> str | None:
    """Check that `valid` with no padding is the same as no `valid`."""
    masking(subject)
    for scene in scenes(subject, EVEN):
        x, c_noise, condition = _first(*scene.inputs())
        told = attrs.evolve(condition, valid=torch.ones(1, x.shape[-1], dtype=torch.bool))
        same(scene(x, c_noise, told), scene(x, c_noise, condition), "F with and without `valid`")
    return None


def _shuffled(count: int, run: int) -> Tensor:
    """Return the indices of runs in an order that is neither a rotation nor a reflection."""
    runs = torch.arange(count).view(-1, run)
    draws = torch.Generator().manual_seed(1)
    return runs[torch.randperm(len(runs), generator=draws)].flatten()


@torch.no_grad()
def check_place(subject: Subject) -> str | None:
    """Check that a change beside x acts in the place where the same change of x acts."""
    told = False
    for scene in scenes(subject, FLAT):
        for name in ("aligned", "origin"):
            if getattr(scene.spec, name):
                usual, found = _answers(scene, "x"), _answers(scene, name)
                if float(usual @ usual) < DISTINCT:
                    continue
                told = True
                likeness = {lag: float(usual @ found.roll(-lag)) for lag in range(-4, 5)}
                lag = max(likeness, key=lambda lag: likeness[lag])
                require(lag == 0, f"a change of {name} is answered {lag:+d} frames away from it")
    if not told:
        raise Inapplicable("it takes neither aligned nor origin, or answers them everywhere")
    return None


def _answers(scene: Scene, name: str) -> Tensor:
    """Return how large F's answers are around a change of a part, the change in the middle."""
    places = range(REACH, REACH + 12)
    x, c_noise, condition = (_copies(part, len(places)) for part in _first(*scene.inputs()))
    part = (x if name == "x" else getattr(condition, name)).clone()
    usual = scene(x, c_noise, condition)
    for row, place in enumerate(places):
        part[row, ..., place] += 0.1 * normal(*part.shape[1:-1], seed=row)
    changed = condition if name == "x" else attrs.evolve(condition, **{name: part})
    answer = (scene(part if name == "x" else x, c_noise, changed) - usual).square()
    power = answer.flatten(1, -2).sum(1)
    power = power.clamp(min=1e-6 * float(power.max())).log()
    rows = [
        row[place - REACH : place + REACH + 1] for row, place in zip(power, places, strict=True)
    ]
    mean = torch.stack(rows).mean(0)
    return mean - mean.mean()


def _first(x: Tensor, c_noise: Tensor, condition: Condition) -> tuple[Any, Any, Any]:
    return x[:1], c_noise[:1], item(condition, 0)


def _copies(part: Any, count: int) -> Any:
    """Return a tensor or a condition of one item as a batch of that item, so many times."""
    if isinstance(part, Condition):
        return part.map(lambda each: each.expand(count, *each.shape[1:]))
    return part.expand(count, *part.shape[1:])


SWEPT: dict[str, Callable[[Subject], str | None]] = {
    "alone": check_alone,
    "levels": check_levels,
    "everything": check_everything,
    "positions": check_positions,
}
"""The checks that other values of the options have to pass, too."""

CHECKS = (
    check_alone,
    check_dropout,
    check_levels,
    check_everything,
    check_positions,
    check_all_valid,
    check_place,
)

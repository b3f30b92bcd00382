"""The checks of backbones, on small latents and with their own options."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.kinds.backbone import Backbone
from kernel.trees import flat, mapped
from kernel_audio_testing import _hearing, _learning
from kernel_audio_testing._network import cast, masking, scenes, with_part
from kernel_audio_testing._options import choices, every_option_acts, holds, together
from kernel_audio_testing._subject import Subject, Violation, require
from kernel_audio_testing._tools import (
    finite,
    generator_untouched,
    item,
    normal,
    on_meta,
    require_meta,
    same,
    unchanged,
)

__all__ = ["CHECKS"]


@torch.no_grad()
def check_shapes(subject: Subject) -> str | None:
    """Check that F has the shape and the dtype of x, is finite, and depends on x."""
    for scene in scenes(subject):
        for dtype in (torch.float32, torch.float64):
            x, *_ = inputs = scene.inputs()
            scene.module.to(dtype)
            found = scene(*cast(dtype, *inputs))
            require(
                (found.shape, found.dtype) == (x.shape, dtype),
                f"F is {tuple(found.shape)} {found.dtype} for x {tuple(x.shape)} {dtype}",
            )
            finite(found, f"F in {dtype}")
    return f"{_count(scene.module) / 1e6:.2f} M parameters"


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@torch.no_grad()
def check_sizes(subject: Subject) -> str | None:
    """Check that lengths other than training's work, odd lengths and a single frame too."""
    for scene in scenes(subject):
        for last in (1, 7, 13, 32):
            x, c_noise, condition = scene.inputs((*scene.latent.size[:-1], last))
            found = scene(x, c_noise, condition)
            require(found.shape == x.shape, f"F is {tuple(found.shape)} for x {tuple(x.shape)}")
            finite(found, f"F for x {tuple(x.shape)}")
    return None


def check_items_apart(subject: Subject) -> str | None:
    """Check that an item depends on all of its own inputs and on no other item."""
    for scene in scenes(subject):
        for training in (False, True):
            scene.module.train(training)
            x, c_noise, condition = scene.inputs()
            leaves = {"x": x, "c_noise": c_noise}
            leaves |= {
                name: part
                for name in ("vector", "sequence", "aligned", "origin")
                if (part := getattr(condition, name)) is not None
            }
            for leaf in leaves.values():
                leaf.requires_grad_()
            with torch.random.fork_rng(devices=[]):
                found = scene(x, c_noise, condition)
            where = "in training" if training else "in evaluation"
            weights = normal(*found[1].shape, seed=4)
            gradients = torch.autograd.grad(
                (found[1] * weights).sum(), list(leaves.values()), allow_unused=True
            )
            for name, gradient in zip(leaves, gradients, strict=True):
                hears = [False] * 3 if gradient is None else _nonzero(gradient)
                require(hears[1], f"{where} F does not depend on {name}")
                if name == "c_noise" and scene.times == 2:
                    require(bool(gradient[1].ne(0).all()), f"{where} F depends on one time alone")
                require(
                    not (hears[0] or hears[2]), f"{where} F of an item depends on {name} of another"
                )
    return None


def _nonzero(gradient: Tensor) -> list[bool]:
    found: list[bool] = gradient.reshape(len(gradient), -1).ne(0).any(1).tolist()
    return found


@torch.no_grad()
def check_null_condition(subject: Subject) -> str | None:
    """Check that all conditions of zeros give the same finite F, and a real one another F."""
    for scene in with_part(subject, "vector", "sequence", "aligned"):
        x, c_noise, condition = scene.inputs(length=3)
        null = scene(x, c_noise, condition.dropped())
        finite(null, "F under the null condition")
        longer = scene.inputs(length=6, seed=7)[2].dropped()
        longer = attrs.evolve(longer, origin=condition.origin)
        same(scene(x, c_noise, longer), null, "F under the nulls of two conditions")
        for each, what in ((longer, "the null condition"), (condition, "a condition")):
            bare = scene(x, c_noise, attrs.evolve(each, mask=None))
            same(bare, scene(x, c_noise, each), f"F under {what} with no mask and with all heard")
        told = scene(x, c_noise, condition)
        change = float((told - null).abs().max())
        require(change > 1e-9, "F is the same under a condition and under the null condition")
        which = torch.tensor([False, True, False])
        mixed = scene(x, c_noise, condition.drop(which))
        wanted = torch.where(which.view(-1, *[1] * (x.ndim - 1)), null, told)
        same(mixed, wanted, "F of a batch of which one item has the null condition")
    return None


@torch.no_grad()
def check_mask(subject: Subject) -> str | None:
    """Check that masked rows of a sequence have no effect."""
    taken = list(with_part(subject, "sequence"))
    masking(subject)
    for scene in taken:
        x, c_noise, condition = scene.inputs(length=4)
        assert condition.sequence is not None and condition.mask is not None
        mask = condition.mask.clone()
        mask[:, 2:] = False
        garbage = condition.sequence.clone()
        garbage[:, 2:] = 50
        longer = attrs.evolve(condition, sequence=garbage, mask=mask)
        shorter = attrs.evolve(
            condition, sequence=condition.sequence[:, :2], mask=condition.mask[:, :2]
        )
        found, wanted = scene(x, c_noise, longer), scene(x, c_noise, shorter)
        same(found, wanted, "F with the end of a sequence masked and cut off")
    return None


@torch.no_grad()
def check_valid(subject: Subject) -> str | None:
    """Check that padding and its length do not change F outside the padding."""
    masking(subject)
    for scene in scenes(subject):
        frames = scene.latent.size[-1]
        lengths = (frames, frames - 3, 5)
        x, c_noise, condition = scene.inputs()
        valid = torch.arange(frames) < torch.tensor(lengths)[:, None]
        padding = ~valid.view(3, *[1] * (x.ndim - 2), frames)
        garbage = attrs.evolve(
            condition,
            valid=valid,
            **{
                name: part.masked_fill(padding, 50)
                for name in ("aligned", "origin")
                if (part := getattr(condition, name)) is not None
            },
        )
        found = scene(x.masked_fill(padding, 50), c_noise, garbage)
        for index, length in enumerate(lengths):
            one = item(garbage, index)
            cut = {
                name: part[..., :length]
                for name in ("aligned", "origin", "valid")
                if (part := getattr(one, name)) is not None
            }
            alone = x[index : index + 1, ..., :length], c_noise[index : index + 1]
            wanted = scene(*alone, attrs.evolve(one, **cut))
            same(found[index : index + 1, ..., :length], wanted, "F of an item, padded and alone")
    return None


def check_gradient(subject: Subject) -> str | None:
    """Check that a finite gradient reaches every parameter if all are random."""
    for scene in scenes(subject):
        scene.module.train()
        x, c_noise, condition = scene.inputs()
        with torch.random.fork_rng(devices=[]):
            found = scene(x, c_noise, condition)
        parameters = dict(scene.module.named_parameters())
        gradients = torch.autograd.grad(
            (found * normal(*found.shape, seed=4)).sum(),
            list(parameters.values()),
            allow_unused=True,
        )
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                raise Violation(f"the parameter {name!r} has no gradient")
            finite(gradient, f"the gradient of {name!r}")
            require(bool(gradient.any()), f"the gradient of {name!r} is zero")
    return None


@torch.no_grad()
def check_prepared(subject: Subject) -> str | None:
    """Check that a prepared condition can be used several times, at any noise level."""
    for scene in scenes(subject):
        x, c_noise, condition = scene.inputs()
        prepared = scene.tree(condition)
        first = scene.module(x, c_noise, prepared)
        scene.module(2 * x, c_noise + 1, prepared)
        again = scene.module(x, c_noise, prepared)
        require(torch.equal(first, again), "F changes when a prepared condition is used again")
        same(scene(x, c_noise, condition), first, "F with a fresh and a used prepared condition")
    return None


@torch.no_grad()
def check_tree(subject: Subject) -> str | None:
    """Check that a prepared condition is a tree, and conditions differ only in its tensors."""
    for scene in scenes(subject):
        x, c_noise, condition = scene.inputs()
        _, _, other = scene.inputs(seed=7)
        wanted, tree = scene.tree(other), scene.tree(condition)
        try:
            (_, layout), (values, other_layout) = flat(tree), flat(wanted)
        except KernelError as error:
            raise Violation(str(error)) from None
        require(
            layout == other_layout,
            "trees of two conditions of the same shapes differ in their layout",
        )
        copied = mapped(torch.clone, tree)
        for own, given in zip(flat(copied)[0], values, strict=True):
            own.copy_(given)
        found = scene.module(x, c_noise, copied)
        same(found, scene(x, c_noise, other), "F of a tree whose tensors were copied from another")
    return None


@torch.no_grad()
def check_precision(subject: Subject) -> str | None:
    """Check that float32 and float64 agree."""
    worst = 0.0
    for scene in scenes(subject):
        inputs = scene.inputs()
        exact = scene(*inputs)
        scene.module.float()
        rough = scene(*cast(torch.float32, *inputs)).double()
        worst = max(worst, float((rough - exact).abs().max() / exact.abs().max()))
    require(worst < 1e-3, f"they differ by {worst:.2g} of the largest value")
    return f"differ by {worst:.1e}"


@torch.no_grad()
def check_device(subject: Subject) -> str | None:
    """Check that F is computed on the device of x, without reading values on the host."""
    for scene in scenes(subject):
        x, c_noise, condition = scene.inputs()
        scene.module.to("meta")
        with on_meta("the network"):
            put = condition.map(lambda part: part.to("meta"))
            require_meta(scene(x.to("meta"), c_noise.to("meta"), put), "F")
    return None


def check_meta(subject: Subject) -> str | None:
    """Check that it can be built on `meta` and filled completely from a checkpoint."""
    for scene in scenes(subject):
        with torch.device("meta"):
            empty = subject.make().build(scene.latent, scene.spec)
        state = empty.state_dict()
        for name, tensor in (*empty.named_parameters(), *empty.named_buffers()):
            require(tensor.is_meta, f"{name!r} is not made on the device that is asked for")
            require(name in state, f"the buffer {name!r} is in no checkpoint and stays unfilled")
    return None


@torch.no_grad()
def check_state(subject: Subject) -> str | None:
    """Check that its state dict, loaded into another network, gives the same F."""
    for scene in scenes(subject):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            other = subject.make().build(scene.latent, scene.spec).double().eval()
        other.load_state_dict(scene.module.state_dict())
        inputs = scene.inputs()
        same(attrs.evolve(scene, module=other)(*inputs), scene(*inputs), "F and F loaded")
    return None


@torch.no_grad()
def check_pure(subject: Subject) -> str | None:
    """Check that an evaluation changes no input, draws no random numbers, and repeats."""
    for scene in scenes(subject):
        x, c_noise, condition = scene.inputs()
        parts = {
            name: part
            for name in ("vector", "sequence", "mask", "aligned", "origin")
            if (part := getattr(condition, name)) is not None
        }
        with (
            generator_untouched("the network"),
            unchanged(x=x, c_noise=c_noise, **parts),
            unchanged(**dict(scene.module.named_buffers())),
        ):
            first = scene(x, c_noise, condition)
            second = scene(x, c_noise, condition)
        require(torch.equal(first, second), "the same evaluation gives another F the second time")
    return None


@torch.no_grad()
def check_options(subject: Subject) -> str | None:
    """Check that every option changes something, alone or beside another."""

    def observe(backbone: Backbone) -> list[Tensor | float]:
        found: list[Tensor | float] = []
        for scene in scenes(attrs.evolve(subject, options=dict(backbone))):
            inputs = scene.inputs()
            for training in (False, True):
                scene.module.train(training)
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(0)
                    found.append(scene(*inputs))
        return found

    return every_option_acts(subject, observe)


def check_choices(subject: Subject) -> str | None:
    """Check that other values of the options keep the promises."""
    every = [*choices(subject), *together(subject)]
    for each in every:
        holds(
            each,
            shapes=check_shapes,
            sizes=check_sizes,
            items_apart=check_items_apart,
            null_condition=check_null_condition,
            valid=check_valid,
            gradient=check_gradient,
            **_hearing.SWEPT,
        )
    return f"{len(every)} settings"


CHECKS = (
    check_shapes,
    check_sizes,
    check_items_apart,
    check_null_condition,
    check_mask,
    check_valid,
    check_gradient,
    check_prepared,
    check_tree,
    check_precision,
    check_device,
    check_meta,
    check_state,
    check_pure,
    *_learning.CHECKS,
    *_hearing.CHECKS,
    check_options,
    check_choices,
)

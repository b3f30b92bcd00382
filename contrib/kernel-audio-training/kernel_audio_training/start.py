"""The start of a training: weights of another model where they fit, and frozen parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from kernel.errors import MisfitError, UsageError, did_you_mean
from kernel.models import ModelPack
from kernel.tensors import read_tensors

__all__ = ["freeze", "start_from"]


@torch.no_grad()
def start_from(pack: ModelPack, network: nn.Module) -> list[str]:
    """Load the weights of a model into a network, where names and shapes agree.

    A weight with more inputs than the model's, such as those of a condition that is new, takes its
    own for the first ones and zeros for the rest. Returns a sentence for what is new, for what was
    widened and for what was left. Raises MisfitError where most of the network would be new.
    """
    given, state = read_tensors(pack.weights), network.state_dict()
    widened, new = [], []
    for name, value in state.items():
        found = given.pop(name, None)
        if found is not None and found.shape == value.shape:
            value.copy_(found)
        elif found is not None and _wider(value, found):
            value.zero_()
            value[:, : found.shape[1]].copy_(found)
            widened.append(name)
        else:
            new.append(name)
    lacking = sum(state[name].numel() for name in new)
    if 2 * lacking > sum(value.numel() for value in state.values()):
        raise MisfitError(
            f"model {pack.name} has no weights for most of the network ({_listed(new)}); choose "
            f"the backbone that it was trained with, and its options"
        )
    told = (
        ("starts with new values in", new),
        ("starts with zeros for more inputs of", widened),
        ("takes nothing for", sorted(given)),
    )
    return [
        f"the network {what} {_listed(names)} beside model {pack.name}"
        for what, names in told
        if names
    ]


def freeze(exports: Mapping[str, nn.Module], patterns: Sequence[str]) -> None:
    """Have the parameters whose names match any of the patterns, with * and ?, stay as they are.

    Raises UsageError for a pattern that matches none.
    """
    named = {n: each for module in exports.values() for n, each in module.named_parameters()}
    for pattern in patterns:
        matched = [each for name, each in named.items() if fnmatchcase(name, pattern)]
        if not matched:
            raise UsageError(
                f"freeze {pattern!r} matches no parameter{did_you_mean(pattern, named)}; the "
                f"first is {next(iter(named), 'none')}, and * stands for anything"
            )
        for each in matched:
            each.requires_grad_(False)


def _wider(value: Tensor, found: Tensor) -> bool:
    """Return whether a weight [out, in, ...] has more inputs than another, and else its shape."""
    if value.ndim != found.ndim or value.ndim < 2 or value.shape[1] < found.shape[1]:
        return False
    return value.shape[:1] == found.shape[:1] and value.shape[2:] == found.shape[2:]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more}"

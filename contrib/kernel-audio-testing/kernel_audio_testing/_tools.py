"""What the checks of several kinds need: test tensors, comparisons, and watchers."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from kernel.errors import KernelError
from kernel.values import Condition
from kernel_audio_testing._subject import Inapplicable, Violation, require

__all__ = [
    "CONDITION_PARTS",
    "finite",
    "generator_untouched",
    "item",
    "normal",
    "on_meta",
    "refuses",
    "require_meta",
    "same",
    "unchanged",
]

CONDITION_PARTS = ("vector", "sequence", "mask", "aligned", "origin", "valid")


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return standard normal noise that is the same every time."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def item(condition: Condition, index: int) -> Condition:
    """Return one item of a batch of conditions, as a batch of one."""
    return condition.map(lambda part: part[index : index + 1])


def finite(tensor: Tensor, what: str) -> None:
    """Raise Violation when a tensor holds a NaN or an infinity."""
    require(bool(tensor.isfinite().all()), f"{what} holds values that are not finite")


def same(found: Tensor, wanted: Tensor, what: str, tolerance: float = 1e-8) -> None:
    """Raise Violation unless two tensors agree to `tolerance`, relative to the largest value."""
    if found.shape != wanted.shape:
        raise Violation(f"{what}: the shapes are {tuple(found.shape)} and {tuple(wanted.shape)}")
    if found.numel() == 0:
        return
    scale = max(float(wanted.detach().abs().max()), 1e-30)
    error = float((found.detach() - wanted.detach()).abs().max()) / scale
    if not error <= tolerance:
        raise Violation(f"{what}: they differ by {error:.2g} of the largest value")


@contextmanager
def unchanged(**tensors: Tensor) -> Iterator[None]:
    """Raise Violation when one of the tensors holds other values afterwards."""
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    yield
    for name, tensor in tensors.items():
        require(torch.equal(before[name], tensor), f"{name} is changed in place")


@contextmanager
def generator_untouched(what: str) -> Iterator[None]:
    """Raise Violation when a global random generator of torch, numpy or Python moved."""
    before = _generators()
    yield
    for name, state in _generators().items():
        require(
            _equal(before.get(name, state), state),
            f"{what} draws from {name}, so that results depend on what ran before",
        )


@contextmanager
def on_meta(what: str, may_look: bool = False) -> Iterator[None]:
    """Raise Violation when tensors without values are looked at or mixed with those of the CPU.

    What computes on the device `meta` computes on any, and never waits for one. With `may_look`,
    looking at values ends the check as Inapplicable.
    """
    try:
        yield
    except (NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split()).partition(". ")[0][:160]
        if "device" in reason:
            raise Violation(f"{what} makes tensors elsewhere than its input: {reason}") from error
        if may_look:
            raise Inapplicable(
                f"{what} cannot be tried on tensors without values: {reason}"
            ) from error
        raise Violation(f"{what} looks at values, for which a device waits: {reason}") from error


def require_meta(tensor: Tensor, what: str) -> None:
    """Raise Violation unless a tensor is on the device `meta`."""
    require(tensor.is_meta, f"{what} is on {tensor.device}, not on the device of its input")


def refuses(error: type[KernelError], what: str, call: Any, *arguments: Any) -> str:
    """Return the message of the given error. Raises Violation unless the call raises it."""
    try:
        call(*arguments)
    except error as refusal:
        return str(refusal)
    except Exception as other:
        raise Violation(f"{what} raises {type(other).__name__}, not {error.__name__}") from other
    raise Violation(f"{what} is accepted where {error.__name__} has to be raised")


def _generators() -> dict[str, Any]:
    states = {
        "torch's global generator": torch.get_rng_state(),
        "Python's global generator": random.getstate(),
    }
    if "numpy" in sys.modules:
        states["numpy's global generator"] = sys.modules["numpy"].random.get_state()
    return states


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, Sequence) and not isinstance(first, str):
        return len(first) == len(second) and all(map(_equal, first, second))
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    return bool((first == second) if isinstance(first, (int, float, str)) else _same(first, second))


def _same(first: Any, second: Any) -> bool:
    same = first == second
    return bool(same.all() if hasattr(same, "all") else same)

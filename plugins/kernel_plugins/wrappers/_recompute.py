"""Blocks whose inner results are computed again in the backward pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.forward_ad import UnpackedDualTensor, unpack_dual
from torch.utils.checkpoint import checkpoint

from kernel import UsageError

__all__ = ["forget", "keep"]

HOLDERS = (nn.ModuleList, nn.ModuleDict)
"""Lists of modules without a forward of their own."""


class Forgetting:
    """The forward of a block, which keeps its arguments alone for the backward pass."""

    def __init__(self, block: nn.Module, name: str) -> None:
        self._forward, self._block, self._name = block.forward, block, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the block returns. Raises UsageError when an argument is an iterator."""
        given = (*args, *kwargs.values())
        if not torch.is_grad_enabled() or _dual(given):
            return self._forward(*args, **kwargs)
        if any(isinstance(each, Iterator) for each in given):
            raise UsageError(
                f"the block {self._name} takes an iterator, which cannot be gone through again in "
                f"the backward pass; leave it out with wrapper.activation-checkpointing.blocks"
            )
        if next(self._block.buffers(), None) is not None:
            kwargs["context_fn"] = self._contexts
        return checkpoint(self._forward, *args, use_reentrant=False, **kwargs)

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _spared(self._block)


def _dual(given: Sequence[Any]) -> bool:
    """Return whether a forward derivative is taken, which `checkpoint` cannot do."""
    if torch.compiler.is_compiling():  # Compiled graphs have no forward derivative.
        return False
    unpack: Callable[[Tensor], UnpackedDualTensor] = unpack_dual
    return any(isinstance(each, Tensor) and unpack(each).tangent is not None for each in given)


@contextmanager
def _spared(block: nn.Module) -> Iterator[None]:
    """Let buffers, such as running statistics, be changed without effect."""
    own = [
        (module, name, buffer)
        for module in block.modules()
        for name, buffer in module.named_buffers(recurse=False)
    ]
    for module, name, buffer in own:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in own:
            setattr(module, name, buffer)


def forget(network: nn.Module, blocks: str) -> None:
    """Make the blocks that `blocks` matches forget; none within another one.

    Without an expression these are the members of lists of modules. Raises UsageError when there
    are none.
    """
    chosen: dict[str, nn.Module] = {}
    listed = (*HOLDERS, nn.Sequential)
    for name, module in network.named_modules():
        within = any(name.startswith(f"{other}.") for other in chosen)
        if not name or within or isinstance(module, HOLDERS):
            continue
        parent = network.get_submodule(name.rpartition(".")[0])
        if re.search(blocks, name) if blocks else isinstance(parent, listed):
            chosen[name] = module
    if not chosen:
        wrong = (
            f"no block of the network matches wrapper.activation-checkpointing.blocks {blocks!r}; "
            f"change the expression"
            if blocks
            else "the network has no list of modules; name its blocks with "
            "wrapper.activation-checkpointing.blocks"
        )
        raise UsageError(wrong)
    for name, module in chosen.items():
        module.forward = Forgetting(module, name)


def keep(network: nn.Module) -> None:
    """Give the blocks their own forward back."""
    for module in network.modules():
        if isinstance(vars(module).get("forward"), Forgetting):
            del module.forward

"""`activation-checkpointing`: trains with less memory and more computation."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import Wrapper, hookimpl
from kernel_plugins.wrappers._expression import Expression

if TYPE_CHECKING:
    from torch import nn


class ActivationCheckpointing(Wrapper):
    """Keep the inputs of a network's blocks for the backward pass, and compute the rest again.

    Chen et al. 2016, section 4.1, by `torch.utils.checkpoint`. Each chosen block is computed twice
    in a training step, and its inner results are in memory for one block at a time. Dropout is the
    same both times, so losses and gradients are those without the wrapper, and buffers change once.
    A forward derivative (`parts.jvp`) is computed once and keeps all. The trained model needs no
    wrapper. A run refuses it.
    """

    played: ClassVar[bool] = False

    blocks: Expression = Field(
        "",
        description="regular expression for the names of blocks, such as '^blocks\\.[0-3]$'; none:"
        " all members of lists of modules",
    )

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        """Return the network with blocks that forget. Raises UsageError where nothing matches."""
        from kernel_plugins.wrappers._recompute import forget

        network = yield
        forget(network, self.blocks)
        return network

    def merge(self, module: nn.Module) -> nn.Module:
        """Return the network with the forward of its own."""
        from kernel_plugins.wrappers._recompute import keep

        keep(module)
        return module


@hookimpl
def wrapper() -> type[Wrapper]:
    """Offer `activation-checkpointing`."""
    return ActivationCheckpointing

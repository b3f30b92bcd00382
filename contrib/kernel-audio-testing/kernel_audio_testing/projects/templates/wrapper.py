"""`mine`: what changes the network, the codec or the solver that other components build."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Wrapper, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Mine(Wrapper):
    """Train only those parameters of a network whose names begin with one of some words.

    To make it your own, change what was built, or return something of your own around it.
    `build_codec` and `build_solver` can be wrapped in the same way.
    """

    trained: tuple[str, ...] = Field(("",), description="beginnings of names; an empty one is all")

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        """Freeze the parameters with other names. The weights are loaded already."""
        network = yield
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(self.trained))
        return network

    def merge(self, module: nn.Module) -> nn.Module:
        """Return the network as it is: nothing was added to it."""
        return module


@hookimpl
def wrapper() -> type[Wrapper]:
    """Offer `mine`."""
    return Mine

"""`lora`: adapters for any network, which are trained while the network itself stays as it is."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Wrapper, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Adapters(Wrapper):
    """Train thin matrices beside every linear map and convolution of a frozen network.

    Hu et al. 2021 (LoRA), eq. 3. The sums take the place of the weights when the model is written,
    so that nobody needs the wrapper to play it.
    """

    rank: int = Field(2, ge=1, description="columns of the thin matrices")

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        """Freeze the network that was built, with its weights loaded, and add the matrices."""
        from .low_rank import adapt

        network = yield
        adapt(network, self.rank)
        return network

    def merge(self, module: nn.Module) -> nn.Module | None:
        """Return the network with the matrices added to its weights for good."""
        from .low_rank import merge

        return merge(module)


@hookimpl
def wrapper() -> type[Wrapper]:
    """Offer the adapters."""
    return Adapters

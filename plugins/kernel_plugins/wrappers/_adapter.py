"""The base of the adapters: which matrices of a network they change, and with how many values."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import Wrapper, hookimpl
from kernel_plugins.wrappers._expression import Expression

if TYPE_CHECKING:
    from torch import Tensor, nn


class Adapter(Wrapper):
    """Freezes a network and trains `addition` of each linear map and convolution."""

    played: ClassVar[bool] = False

    rank: int = Field(8, ge=1, description="rank of the product: columns of B, rows of A")
    alpha: float | None = Field(
        None, gt=0, description="weight of the product, times the rank; none: the rank"
    )
    targets: Expression = Field(
        "", description="regular expression for the names of modules; none: all modules"
    )

    @property
    def scale(self) -> float:
        """Return the weight of the product."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    def addition(self, weight: Tensor) -> nn.Module:
        """Return the LowRank of a weight [out, in, ...]."""
        raise NotImplementedError

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        """Freeze the network and add the matrices. Raises UsageError where nothing matches."""
        from kernel_plugins.wrappers._low_rank import adapt

        network = yield
        adapt(network, self.addition, self.targets, type(self).__name__.lower())
        return network

    def merge(self, module: nn.Module) -> nn.Module:
        """Return the network with each addition in its matrix for good."""
        from kernel_plugins.wrappers._low_rank import merge

        merge(module)
        return module

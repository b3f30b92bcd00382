"""`lora`: trains thin matrices beside a frozen network."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from kernel import Wrapper, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Lora(Wrapper):
    """Freeze a network, and train a product of two thin matrices beside each of its matrices.

    Hu et al. 2021, eq. 3: W + (alpha / rank) B A replaces W in every linear map and convolution;
    the axes of W after the first count as one. B starts at 0, so training starts from the given
    network: `kernel train --model NAME --plugins lora`. The trained model holds the sums and needs
    no wrapper. A run refuses an untrained wrapper.
    """

    played: ClassVar[bool] = False

    rank: int = Field(8, ge=1, description="rank of the product: columns of B, rows of A")
    alpha: float | None = Field(
        None, gt=0, description="weight of the product, times the rank; none: the rank"
    )
    targets: str = Field(
        "", description="regular expression for the names of modules; none: all modules"
    )

    @field_validator("targets")
    @classmethod
    def _compiles(cls, targets: str) -> str:
        try:
            re.compile(targets)
        except re.error as error:
            raise ValueError(f"it is not a regular expression: {error}") from None
        return targets

    @hookimpl(wrapper=True)
    def build_backbone(self) -> Generator[None, nn.Module, nn.Module]:
        """Freeze the network and add the matrices. Raises UsageError where nothing matches."""
        from kernel_plugins.wrappers._low_rank import adapt

        network = yield
        scale = 1.0 if self.alpha is None else self.alpha / self.rank
        adapt(network, self.rank, scale, self.targets)
        return network

    def merge(self, module: nn.Module) -> nn.Module:
        """Return the network with the products added to its matrices."""
        from kernel_plugins.wrappers._low_rank import merge

        merge(module)
        return module


@hookimpl
def wrapper() -> type[Wrapper]:
    """Offer `lora`."""
    return Lora

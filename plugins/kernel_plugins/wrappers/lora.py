"""`lora`: trains thin matrices beside a frozen network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel import Wrapper, hookimpl
from kernel_plugins.wrappers._adapter import Adapter

if TYPE_CHECKING:
    from torch import Tensor, nn


class Lora(Adapter):
    """Freeze a network, and train a product of two thin matrices beside each of its matrices.

    Hu et al. 2021, eq. 3: W + (alpha / rank) B A replaces W in every linear map and convolution;
    the axes of W after the first count as one. B starts at 0, so training starts from the given
    network: `kernel train --model NAME --plugins lora`. The trained model holds the sums and needs
    no wrapper. A run refuses an untrained wrapper.
    """

    def addition(self, weight: Tensor) -> nn.Module:
        """Return the product of a weight [out, in, ...]."""
        from kernel_plugins.wrappers._low_rank import LowRank

        return LowRank(weight, self.rank, self.scale)


@hookimpl
def wrapper() -> type[Wrapper]:
    """Offer `lora`."""
    return Lora

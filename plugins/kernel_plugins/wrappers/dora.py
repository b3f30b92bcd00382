"""`dora`: trains the magnitudes of a frozen network's matrices, and turns their directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel import Wrapper, hookimpl
from kernel_plugins.wrappers._adapter import Adapter

if TYPE_CHECKING:
    from torch import Tensor, nn


class Dora(Adapter):
    """Freeze a network, and train magnitudes and low-rank directions of its matrices.

    Liu et al. 2024 (DoRA), eq. 5: m V / |V|, V = W + (alpha / rank) B A, replaces W in every linear
    map and convolution; the axes of W after the first count as one. |V| is the norm of each row of
    V, as in the authors' code, and the gradient takes it as a constant (section 4.3). m starts at
    the norms of W and B at 0, so training starts from the given network: `kernel train --model NAME
    --plugins dora`. The trained model holds the results and needs no wrapper. A run refuses an
    untrained wrapper.
    """

    def addition(self, weight: Tensor) -> nn.Module:
        """Return the magnitudes and the product of a weight [out, in, ...]."""
        from kernel_plugins.wrappers._low_rank import Decomposed

        return Decomposed(weight, self.rank, self.scale)


@hookimpl
def wrapper() -> type[Wrapper]:
    """Offer `dora`."""
    return Dora

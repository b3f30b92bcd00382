"""`kernel-distance`: the kernel distance between two sets of sounds (KID, KAD)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from kernel import Metric, hookimpl
from kernel_plugins.metrics._heard import Heard

if TYPE_CHECKING:
    from torch import Tensor


class KernelDistance(Heard):
    """Return the unbiased squared maximum mean discrepancy of the embeddings of two sets.

    The kernel is (x . y / M + 1)^3 (Binkowski et al. 2018, section 3.1). The value does not depend
    on the sizes of the sets, and may be negative for sets of one distribution.
    """

    higher_is_better: ClassVar[bool] = False

    def score(self, sounds: Tensor, references: Tensor) -> Tensor:
        """Return the distance."""
        from kernel_plugins.mathematics.sets import kernel_distance

        return kernel_distance(sounds, references)


@hookimpl
def metric() -> type[Metric]:
    """Offer `kernel-distance`."""
    return KernelDistance

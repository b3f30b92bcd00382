"""Functions of several codecs: the number of frames, the limit of the hop, and the fit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from kernel import CodecModule, InputError, UsageError

if TYPE_CHECKING:
    from torch import Tensor


def frame_count(samples: int, hop: int) -> int:
    """Return ceil(samples / hop), at least 1: each frame covers `hop` samples of its own."""
    return max(1, -(-samples // hop))


def check_hop(codec: str, window: int, hop: int) -> None:
    """Raise UsageError if the hop is more than half of the window.

    A Hann window fades at its edges. With a longer hop, samples at the edges would be almost lost.
    """
    if 2 * hop > window:
        raise UsageError(
            f"The codec {codec!r} has a hop of {hop} samples, more than half of its window of "
            f"{window}; set hop to {window // 2} or less."
        )


def moments(codec: str, module: CodecModule, examples: Iterable[Tensor]) -> tuple[float, float]:
    """Return the mean and the mean square of the latents of all examples, each [C, L].

    Raises InputError when there are no examples, or when their latents are constant or not finite.
    """
    count, total, square = 0, 0.0, 0.0
    for example in examples:
        latent = cast("Tensor", module.encode(example.detach()[None])).double()
        count += latent.numel()
        total += float(latent.sum())
        square += float(latent.square().sum())
    mean, power = (total / count, square / count) if count else (0.0, 0.0)
    if not (math.isfinite(power) and power - mean**2 > 1e-12 * power):
        raise InputError(
            f"The codec {codec!r} cannot fit its scale: the training examples are silent, constant "
            "or not finite; check the data or set the option std."
        )
    return mean, power

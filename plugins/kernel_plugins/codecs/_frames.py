"""What the codecs share: how many frames a sound has, a limit on their options, and the fit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from kernel import CodecModule, InputError, UsageError

if TYPE_CHECKING:
    from torch import Tensor


def frame_count(samples: int, hop: int) -> int:
    """Return ceil(samples / hop), at least 1: each frame stands for its own `hop` samples."""
    return max(1, -(-samples // hop))


def check_hop(codec: str, window: int, hop: int) -> None:
    """Raise UsageError unless every sample lies in two frames or at the end of the sound.

    A Hann window fades at its edges: with a longer hop samples there would be all but lost.
    """
    if 2 * hop > window:
        raise UsageError(
            f"The codec {codec!r} has a hop of {hop} samples, more than half of its window of "
            f"{window}; set hop to {window // 2} or less."
        )


def moments(codec: str, module: CodecModule, examples: Iterable[Tensor]) -> tuple[float, float]:
    """Return the mean and the mean square of the latents of all examples, each [C, L].

    Raises InputError when there are no examples or their latents are all alike or not finite.
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
            f"The codec {codec!r} found no finite, varying sound in its training examples, so that "
            "its scale cannot be fitted; check the data or set the option std."
        )
    return mean, power

"""`mine`: what others hear in a sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from kernel import Encoder, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Mine(Encoder):
    """The level of a sound in 10 dB, and how much of its power is above a frequency.

    To make it your own, replace the module in `ear.py`. Weights belong into the package, or to an
    option `weights: Path | None`, whose file is then part of every record. Say here what goes in
    and whether gradients come out.
    """

    listens: ClassVar[Literal["audio", "text"]] = "audio"

    differentiable: ClassVar[bool] = True

    split: float = Field(1000.0, gt=0, description="frequency in Hz that bright is above")

    def build(self) -> nn.Module:
        """Return the network, (audio [B, C, L], sample_rate) -> [B, 2]."""
        from kernel_audio_testing.projects.templates.ear import MineEar

        return MineEar(self.split)


@hookimpl
def encoder() -> type[Encoder]:
    """Offer `mine`."""
    return Mine

"""`timbre`: the timbre of a sound, without weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Encoder, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Timbre(Encoder):
    """Return the mean and the standard deviation over time of a sound's log-mel spectrum.

    The spectrum has frames of 32 ms, mel bands from 40 Hz to the Nyquist frequency, units of 10 dB,
    and is that of the mean of the channels. The loudness of the whole sound has no effect. Compare
    only embeddings of the same sample rate.
    """

    bands: int = Field(40, ge=1, le=128, description="mel bands; an embedding has twice as many")

    def build(self) -> nn.Module:
        """Return the module."""
        from kernel_plugins.encoders._timbre import LogMel

        return LogMel(self.bands)


@hookimpl
def encoder() -> type[Encoder]:
    """Offer `timbre`."""
    return Timbre

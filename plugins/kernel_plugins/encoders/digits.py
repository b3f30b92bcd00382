"""`digits`: which digit is spoken, from zero to nine in English."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel import Encoder, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Digits(Encoder):
    """Return the logits of the ten digits: a small convolutional network over log-mel spectrograms.

    It hears the second around the centre of a sound's energy at 8 kHz, the mean of the channels, at
    a fixed level. Trained on real recordings of six speakers (Free Spoken Digit Dataset) with noise
    added, it knows clean digits and little else: of anything it says some digit.
    """

    def build(self) -> nn.Module:
        """Return the network with the weights of this package."""
        from kernel_plugins.encoders._digits import DigitsNetwork

        return DigitsNetwork()


@hookimpl
def encoder() -> type[Encoder]:
    """Offer `digits`."""
    return Digits

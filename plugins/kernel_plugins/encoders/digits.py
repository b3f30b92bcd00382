"""`digits`: recognises spoken English digits, zero to nine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kernel import Encoder, hookimpl

if TYPE_CHECKING:
    from torch import nn


class Digits(Encoder):
    """Return the logits of the ten digits: a small convolutional network over log-mel spectrograms.

    It hears the second around the centre of a sound's energy: the mean of the channels, at 8 kHz
    and a fixed level. Its training data are real recordings of six speakers (Free Spoken Digit
    Dataset) with added noise. It assigns some digit to any sound.
    """

    def build(self) -> nn.Module:
        """Return the network with the weights of this package."""
        from kernel_plugins.encoders._digits import DigitsNetwork

        return DigitsNetwork()


@hookimpl
def encoder() -> type[Encoder]:
    """Offer `digits`."""
    return Digits

"""Frozen networks that others listen with."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from kernel.kinds._component import Component

if TYPE_CHECKING:
    from torch import nn


class Encoder(Component):
    """A frozen network that tasks, metrics and guidances listen with.

    Audio or texts go in, embeddings or the scores of classes come out. Its weights come from its
    package or from an option that is a path. The runner builds it once, puts it on the device and
    freezes it; it is never trained, counted or saved with a model.
    """

    kind: ClassVar[str] = "encoder"
    accumulates: ClassVar[bool] = True

    listens: ClassVar[Literal["audio", "text"]] = "audio"
    """The input: audio or texts."""

    differentiable: ClassVar[bool] = True
    """Whether the gradient of what comes out leads to the audio."""

    def build(self) -> nn.Module:
        """Return the network, with its weights, on the CPU.

        One of audio is called as (audio [B, C, L], sample_rate) and returns [B, M], for any length,
        rate and number of channels. One of text is called as (texts), a sequence of B strings, and
        returns (rows [B, L, W], mask [B, L]), the mask true where a row holds something. An item
        is heard by itself, whatever its neighbours are.

        Raises InputError for weights that cannot be read.
        """
        raise NotImplementedError

"""How a network takes in the parts of a condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from kernel import Condition, ConditionSpec, UsageError
from kernel_plugins.backbones._attention import CrossAttention, Memory, SequenceTokens


class Prepared(NamedTuple):
    """What depends on the condition alone; absent parts are None."""

    vector: Tensor | None = None
    """[B, width], added to the embedding of the noise level."""
    memories: Sequence[Memory] = ()
    """One pair of keys and values for each layer of cross-attention, in the order of the layers."""
    mask: Tensor | None = None
    """[B, 1, 1, 1 + L], true where a token of the sequence is attended to."""
    aligned: Tensor | None = None
    """Shaped like the embedded latent, to which it is added."""
    size: tuple[int, ...] = ()
    """The size of the latent that `aligned` belongs to."""


class Conditioned(nn.Module):
    """A network that embeds each part of its condition once, in `prepare`.

    A part that the network was not built for has no parameters. What a subclass does with the
    `aligned` part is `embed_aligned`; it adds the result by `add_aligned`.
    """

    def __init__(self, condition: ConditionSpec, width: int) -> None:
        super().__init__()
        self.spec = condition
        self.vector = nn.Linear(condition.vector, width) if condition.vector else None
        self.sequence = SequenceTokens(condition.sequence, width) if condition.sequence else None

    def embed_aligned(self, aligned: Tensor) -> Tensor:
        """Return `aligned` [B, A, *S] in the shape of the embedded latent; zero for zero."""
        raise NotImplementedError

    def prepare(self, condition: Condition) -> Prepared:
        """Return the embedded parts. Raises UsageError when they are not those of the network."""
        _check(condition, self.spec)
        prepared = Prepared()
        if self.vector is not None and condition.vector is not None:
            prepared = prepared._replace(vector=self.vector(condition.vector))
        if self.sequence is not None and condition.sequence is not None:
            tokens, mask = self.sequence(condition.sequence, condition.mask)
            layers = (layer for layer in self.modules() if isinstance(layer, CrossAttention))
            memories = [layer.remember(tokens) for layer in layers]
            prepared = prepared._replace(memories=memories, mask=mask)
        if condition.aligned is not None:
            embedded = self.embed_aligned(condition.aligned)
            prepared = prepared._replace(aligned=embedded, size=tuple(condition.aligned.shape[2:]))
        return prepared


def add_aligned(embedded: Tensor, x: Tensor, condition: Prepared) -> Tensor:
    """Return the embedded latent with the aligned part added, if there is one.

    This is one layer on the channels of both, put side by side. Raises UsageError when their sizes
    differ.
    """
    if condition.aligned is None:
        return embedded
    if condition.size != tuple(x.shape[2:]):
        raise UsageError(
            f"the aligned part of the condition has the size {condition.size} and the latent "
            f"{tuple(x.shape[2:])}; make both from the same length of audio"
        )
    return embedded + condition.aligned


def _check(condition: Condition, spec: ConditionSpec) -> None:
    """Raise UsageError when the parts of `condition` are not those that a network was built for."""
    widths = {
        "vector": (condition.vector, -1, spec.vector),
        "sequence": (condition.sequence, -1, spec.sequence),
        "aligned": (condition.aligned, 1, spec.aligned),
    }
    for name, (part, axis, width) in widths.items():
        given = 0 if part is None else part.shape[axis]
        if given != width:
            raise UsageError(
                f"the network was built for a condition whose {name} part has width {width} and "
                f"got width {given}; use the task it was trained with, or build it for this one"
            )

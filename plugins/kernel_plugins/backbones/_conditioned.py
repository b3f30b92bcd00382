"""The base of the networks: it embeds the parts of a condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from kernel import Condition, ConditionSpec, UsageError
from kernel_plugins.backbones._attention import CrossAttention, Memory, SequenceTokens
from kernel_plugins.backbones._layers import silenced


class Embedded(NamedTuple):
    """The embedded condition: a tree of tensors; absent parts are None."""

    vector: Tensor | None = None
    """[B, width], added to the embedding of the noise level."""
    memories: Sequence[Memory] = ()
    """One pair of keys and values for each layer of cross-attention, in the order of the layers."""
    mask: Tensor | None = None
    """[B, 1, 1, 1 + L], true where a token of the sequence is attended to."""
    beside: Tensor | None = None
    """The embedded aligned part and origin, shaped like the embedded latent and added to it."""
    size: tuple[int, ...] = ()
    """The size of the latent that `beside` belongs to."""
    paddings: Sequence[Tensor] = ()
    """The padding, bool [B, 1, ..., T]: in the latent, then at each of the rates inside."""

    def padding(self, rate: int) -> Tensor | None:
        """Return the padding of the latent (0) or of an inner rate (1, ...); None without any."""
        return self.paddings[rate] if self.paddings else None


class Conditioned(nn.Module):
    """A network that embeds each part of its condition once, in `prepare`.

    A part that the network was not built for has no parameters. A subclass makes the layers
    `aligned` and `origin`, which take the output of `patches`, and adds their result with
    `add_beside`.
    """

    aligned: nn.Module | None
    origin: nn.Module | None

    def __init__(self, condition: ConditionSpec, dims: int, width: int) -> None:
        super().__init__()
        self.spec, self.dims = condition, dims
        self.vector = nn.Linear(condition.vector, width) if condition.vector else None
        self.sequence = SequenceTokens(condition.sequence, width) if condition.sequence else None

    def patches(self, x: Tensor) -> Tensor:
        """Return the input of the first layer for `x` [B, C, *S]; zeros give zeros."""
        raise NotImplementedError

    def rates(self, padding: Tensor) -> Sequence[Tensor]:
        """Return the padding [B, 1, ..., T] of a latent at each of the rates inside."""
        raise NotImplementedError

    def prepare(self, condition: Condition) -> Embedded:
        """Return the embedded parts. Raises UsageError when the network was built for others."""
        _check(condition, self.spec)
        told = Embedded()
        if condition.valid is not None:
            padding = ~condition.valid.view(len(condition.valid), *[1] * self.dims, -1)
            told = told._replace(paddings=[padding, *self.rates(padding)])
        if self.vector is not None and condition.vector is not None:
            told = told._replace(vector=self.vector(condition.vector))
        if self.sequence is not None and condition.sequence is not None:
            tokens, mask = self.sequence(condition.sequence, condition.mask)
            layers = (layer for layer in self.modules() if isinstance(layer, CrossAttention))
            memories = [layer.remember(tokens) for layer in layers]
            told = told._replace(memories=memories, mask=mask)
        for layer, part in ((self.aligned, condition.aligned), (self.origin, condition.origin)):
            if layer is not None and part is not None:
                embedded = layer(self.patches(silenced(part, told.padding(0))))
                beside = embedded if told.beside is None else told.beside + embedded
                told = told._replace(beside=beside, size=tuple(part.shape[2:]))
        return told


def add_beside(embedded: Tensor, x: Tensor, condition: Embedded) -> Tensor:
    """Return the embedded latent plus the embedded aligned part and origin, if there are any.

    The sum equals one layer on the channels of all three side by side. Raises UsageError when their
    sizes differ.
    """
    if condition.beside is None:
        return embedded
    if condition.size != tuple(x.shape[2:]):
        raise UsageError(
            f"the aligned part of the condition has the size {condition.size}, the latent "
            f"{tuple(x.shape[2:])}; make both from the same length of audio"
        )
    return embedded + condition.beside


def _check(condition: Condition, spec: ConditionSpec) -> None:
    """Raise UsageError when `condition` has other parts than the network was built for."""
    widths = {
        "vector": (condition.vector, -1, spec.vector),
        "sequence": (condition.sequence, -1, spec.sequence),
        "aligned": (condition.aligned, 1, spec.aligned),
        # A run may start from an origin that its network does not see.
        "origin": (condition.origin if spec.origin else None, 1, spec.origin),
    }
    for name, (part, axis, width) in widths.items():
        given = 0 if part is None else part.shape[axis]
        if given != width:
            raise UsageError(
                f"the network was built for a condition with a {name} part of width {width} and "
                f"got width {given}; use the task of its training, or train it for this task"
            )

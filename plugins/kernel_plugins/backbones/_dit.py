"""The network of `dit`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kernel import ConditionSpec, LatentSpec
from kernel_plugins.backbones._attention import CrossAttention, Memory, Rotary, SelfAttention
from kernel_plugins.backbones._conditioned import Conditioned, Embedded, add_beside
from kernel_plugins.backbones._layers import (
    NoiseEmbedding,
    coarser,
    crop,
    heard,
    pad,
    silenced,
    zeroed,
)

if TYPE_CHECKING:
    from kernel_plugins.backbones.dit import Dit


class Block(nn.Module):
    """Attention and a two-layer perceptron, shifted, scaled and gated by six modulations."""

    def __init__(self, options: Dit, sequence: bool) -> None:
        super().__init__()
        width, hidden = options.width, round(options.width * options.mlp_ratio)
        self.dropout = options.dropout
        self.attention = SelfAttention(width, options.heads, options.qk_norm)
        self.cross = CrossAttention(width, options.heads) if sequence else None
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        for layer in (self.attention.qkv, self.attention.out, self.expand, self.contract):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        rotary: tuple[Tensor, Tensor],
        heard: Tensor | None,
        memory: Memory | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Return the next tokens. x, result: [B, N, width]; modulation: [6, B, 1, width].

        heard: true for tokens to attend to, bool [B, 1, 1, N]; memory, mask: the sequence's.
        """
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = modulation.unbind(0)
        x = x + gate * self._drop(self.attention(modulate(x, shift, scale), rotary, heard))
        if self.cross is not None:
            x = x + self._drop(self.cross(normalise(x), memory, mask))
        hidden = F.gelu(self.expand(modulate(x, shift_mlp, scale_mlp)), approximate="tanh")
        return x + gate_mlp * self._drop(self.contract(hidden))

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


def normalise(x: Tensor) -> Tensor:
    """Return the tokens with zero mean and unit variance. x: [B, N, width]."""
    return F.layer_norm(x, x.shape[-1:])


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return adaptive layer norm. x: [B, N, width]; shift, scale: [B, 1, width]."""
    return normalise(x) * (1 + scale) + shift


class DitNetwork(Conditioned):
    """The transformer that `Dit` describes.

    At initialisation all gates and the last layer are zero: the output is zero and the gradient
    reaches only the last layer. After the first steps of training it reaches every parameter. The
    padding is set to zero, and patches wholly within it are not attended to.
    """

    def __init__(self, options: Dit, latent: LatentSpec, condition: ConditionSpec) -> None:
        super().__init__(condition, latent.dims, options.width)
        self.width = options.width
        self.patch = (options.patch,) if latent.dims == 1 else options.patch_2d
        width, depth, area = options.width, options.depth, math.prod(self.patch)
        self.embed = nn.Linear(latent.channels * area, width)
        self.noise = NoiseEmbedding(width, options.times)
        self.rotary = Rotary(width // options.heads, latent.dims, options.rope_base)
        self.aligned, self.origin = (
            nn.Linear(channels * area, width, bias=False) if channels else None
            for channels in (condition.aligned, condition.origin)
        )
        self.blocks = nn.ModuleList(Block(options, bool(condition.sequence)) for _ in range(depth))
        # One layer makes the six modulations of every block and the two of the last norm.
        self.modulation = zeroed(nn.Linear(width, (6 * depth + 2) * width))
        self.out = zeroed(nn.Linear(width, latent.channels * area))

    def rates(self, padding: Tensor) -> Sequence[Tensor]:
        """Return true where a whole patch is padding."""
        return [coarser(padding, self.patch[-1])]

    def forward(self, x: Tensor, c_noise: Tensor, condition: Embedded) -> Tensor:
        """Return F. x, result: [B, C, *S]; condition: the result of `prepare`.

        c_noise: [B] or [B, times].
        """
        # Under autocast the residual stream stays in the precision of x.
        embedded = self.embed(self.patches(silenced(x, condition.padding(0))))
        tokens = add_beside(embedded, x, condition).type_as(x)
        embedded = self.noise(c_noise, condition.vector)
        modulation = self.modulation(embedded).unflatten(-1, (-1, 1, self.width)).transpose(0, 1)
        grid = self._grid(x.shape)
        rotary, attended = self.rotary(grid), heard(condition.padding(1), grid)
        memories = iter(condition.memories)
        for index, block in enumerate(self.blocks):
            six, memory = modulation[6 * index : 6 * index + 6], next(memories, None)
            tokens = block(tokens, six, rotary, attended, memory, condition.mask)
        shift, scale = modulation[-2:].unbind(0)
        return self._latent(self.out(modulate(tokens, shift, scale)), x.shape).type_as(x)

    def _grid(self, shape: Sequence[int]) -> list[int]:
        """Return the number of patches along each axis of [B, C, *S]."""
        return [-(-size // patch) for size, patch in zip(shape[2:], self.patch, strict=True)]

    def patches(self, x: Tensor) -> Tensor:
        """Return [B, N, C * area] for x: [B, C, *S], in row-major order."""
        axes = len(self.patch)
        split = [n for pair in zip(self._grid(x.shape), self.patch, strict=True) for n in pair]
        x = pad(x, self.patch).reshape(*x.shape[:2], *split)
        grid, inside = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
        return x.permute(0, *grid, 1, *inside).flatten(1 + axes).flatten(1, axes)

    def _latent(self, patches: Tensor, shape: Sequence[int]) -> Tensor:
        """Return [B, C, *S], the inverse of `patches`."""
        axes, grid = len(self.patch), self._grid(shape)
        x = patches.reshape(shape[0], *grid, shape[1], *self.patch)
        pairs = [axis for first in range(1, 1 + axes) for axis in (first, first + 1 + axes)]
        x = x.permute(0, 1 + axes, *pairs)
        padded = [count * patch for count, patch in zip(grid, self.patch, strict=True)]
        return crop(x.reshape(*shape[:2], *padded), shape[2:])

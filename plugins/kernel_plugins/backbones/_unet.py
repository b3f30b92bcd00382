"""The network of `unet`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kernel import ConditionSpec, LatentSpec
from kernel_plugins.backbones._attention import CrossAttention, Memory, SelfAttention
from kernel_plugins.backbones._conditioned import Conditioned, Embedded, add_beside
from kernel_plugins.backbones._layers import (
    NoiseEmbedding,
    PaddedGroupNorm,
    coarser,
    crop,
    folded,
    heard,
    pad,
    silenced,
    unfolded,
    zeroed,
)

if TYPE_CHECKING:
    from kernel_plugins.backbones.unet import Unet


def convolution(
    dims: int, inputs: int, outputs: int, size: int = 3, stride: int = 1, bias: bool = True
) -> nn.Conv1d | nn.Conv2d:
    """Return a convolution over `dims` axes; it keeps their sizes, divided by the stride."""
    kind = nn.Conv1d if dims == 1 else nn.Conv2d
    return kind(inputs, outputs, size, stride=stride, padding=size // 2, bias=bias)


class Residual(nn.Module):
    """Two normalised convolutions, the second scaled and shifted by the embedding, and a shortcut.

    Dhariwal and Nichol 2021, eq. 2 (adaptive group norm). The second convolution starts at zero.
    """

    def __init__(self, options: Unet, dims: int, embedding: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.dropout = options.dropout
        self.norm = PaddedGroupNorm(options.groups, inputs)
        self.first = convolution(dims, inputs, outputs)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm_modulated = PaddedGroupNorm(options.groups, outputs, affine=False)
        self.second = zeroed(convolution(dims, outputs, outputs))
        self.shortcut = convolution(dims, inputs, outputs, size=1) if inputs != outputs else None

    def forward(self, x: Tensor, embedded: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return [B, outputs, *S]. x: [B, inputs, *S]; embedded: [B, embedding].

        padding: bool [B, 1, ..., T].
        """
        h = self.first(silenced(F.silu(self.norm(x, padding)), padding))
        modulation = self.modulation(embedded)
        scale, shift = modulation.view(*modulation.shape, *[1] * (x.ndim - 2)).chunk(2, dim=1)
        h = F.silu(self.norm_modulated(h, padding) * (1 + scale) + shift)
        h = F.dropout(silenced(h, padding), self.dropout, self.training)
        shortcut = x if self.shortcut is None else self.shortcut(x)
        return cast(Tensor, self.second(h) + shortcut)


class Attention(nn.Module):
    """Attention over all positions and, with `memory` > 0, to the sequence; both start at zero.

    memory: the width of the sequence's tokens.
    """

    def __init__(self, options: Unet, channels: int, memory: int) -> None:
        super().__init__()
        self.norm = PaddedGroupNorm(options.groups, channels)
        self.attention = SelfAttention(channels, options.heads)
        zeroed(self.attention.out)
        self.norm_cross = PaddedGroupNorm(options.groups, channels) if memory else None
        self.cross = CrossAttention(channels, options.heads, memory) if memory else None

    def forward(
        self, x: Tensor, padding: Tensor | None, memory: Memory | None, mask: Tensor | None
    ) -> Tensor:
        """Return `x` plus the attended values. x, result: [B, channels, *S]."""
        audible = heard(padding, x.shape[2:])
        attended: Tensor = self.attention(tokens(self.norm(x, padding)), heard=audible)
        x = x + attended.transpose(1, 2).reshape(x.shape)
        if self.cross is None or self.norm_cross is None:
            return x
        told: Tensor = self.cross(tokens(self.norm_cross(x, padding)), memory, mask)
        return x + told.transpose(1, 2).reshape(x.shape)


def tokens(x: Tensor) -> Tensor:
    """Return [B, N, C] for x: [B, C, *S]."""
    return x.flatten(2).transpose(1, 2)


class Stage(nn.Module):
    """A residual block, then attention at the levels that have it."""

    def __init__(self, block: Residual, attention: Attention | None) -> None:
        super().__init__()
        self.block = block
        self.attention = attention

    def forward(
        self,
        x: Tensor,
        embedded: Tensor,
        padding: Tensor | None,
        memory: Memory | None,
        mask: Tensor | None,
    ) -> Tensor:
        """Return [B, outputs, *S]. x: [B, inputs, *S]; embedded: [B, embedding]."""
        x = self.block(x, embedded, padding)
        return x if self.attention is None else self.attention(x, padding, memory, mask)


class Up(nn.Module):
    """Double every axis by repetition, then convolve."""

    def __init__(self, dims: int, channels: int) -> None:
        super().__init__()
        self.convolution = convolution(dims, channels, channels)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return [B, C, *2S]. x: [B, C, *S]; padding: of the result."""
        doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return cast(Tensor, self.convolution(silenced(doubled, padding)))


class UnetNetwork(Conditioned):
    """The U-Net that `Unet` describes.

    At initialisation the output is zero and the gradient reaches only the last layer. After the
    first steps of training it reaches every parameter.
    """

    def __init__(self, options: Unet, latent: LatentSpec, condition: ConditionSpec) -> None:
        super().__init__(condition, latent.dims, 4 * options.width)
        dims, width, embedding = latent.dims, options.width, 4 * options.width
        memory = embedding if condition.sequence else 0
        channels = [width * multiplier for multiplier in options.multipliers]
        deepest = len(channels) - 1
        self.patch, area = options.patch, options.patch**dims
        self.multiples = [options.patch * 2**deepest] * dims

        def stage(level: int, inputs: int, outputs: int) -> Stage:
            attends = level in options.attention_levels
            return Stage(
                Residual(options, dims, embedding, inputs, outputs),
                Attention(options, outputs, memory) if attends else None,
            )

        # Layers are made in the order of use: `prepare` makes their memories in this order.
        self.noise = NoiseEmbedding(embedding, options.times)
        self.aligned, self.origin = (
            convolution(dims, channels * area, width, bias=False) if channels else None
            for channels in (condition.aligned, condition.origin)
        )
        self.embed = convolution(dims, latent.channels * area, width)
        self.down, self.shrink = nn.ModuleList(), nn.ModuleList()
        current, skips = width, list[int]()
        for level, count in enumerate(channels):
            if level > 0:
                self.shrink.append(convolution(dims, current, current, stride=2))
            self.down.append(down := nn.ModuleList())
            for _ in range(options.blocks):
                down.append(stage(level, current, count))
                skips.append(current := count)
        self.middle = nn.ModuleList(stage(deepest, current, current) for _ in range(2))
        self.up, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, count in reversed(list(enumerate(channels))):
            if level < deepest:
                self.grow.append(Up(dims, current))
            self.up.append(up := nn.ModuleList())
            for _ in range(options.blocks):
                up.append(stage(level, current + skips.pop(), count))
                current = count
        self.norm = PaddedGroupNorm(options.groups, width)
        self.out = zeroed(convolution(dims, width, latent.channels * area))

    def rates(self, padding: Tensor) -> Sequence[Tensor]:
        """Return the padding at every level.

        Every item ends with a whole position of the deepest level, as it does by itself.
        """
        deepest = coarser(padding, self.multiples[-1])
        levels = [deepest.repeat_interleave(self.multiples[-1] // self.patch, -1)]
        for _ in self.shrink:
            levels.append(coarser(levels[-1], 2))
        return levels

    def forward(self, x: Tensor, c_noise: Tensor, condition: Embedded) -> Tensor:
        """Return F. x, result: [B, C, *S]; condition: the result of `prepare`.

        c_noise: [B] or [B, times].
        """
        embedded = self.noise(c_noise, condition.vector)
        first = self.embed(self.patches(silenced(x, condition.padding(0))))
        h = add_beside(first, x, condition)
        memories, skips = iter(condition.memories), []

        def pass_on(stage: nn.Module, h: Tensor, padding: Tensor | None) -> Tensor:
            memory = None if stage.attention is None else next(memories, None)
            following: Tensor = stage(h, embedded, padding, memory, condition.mask)
            return following

        for level, stages in enumerate(self.down):
            if level > 0:
                h = self.shrink[level - 1](silenced(h, condition.padding(level)))
            padding = condition.padding(1 + level)
            for stage in cast(nn.ModuleList, stages):
                h = pass_on(stage, h, padding)
                skips.append(h * 0.5**0.5)
        for stage in self.middle:
            h = pass_on(stage, h, padding)
        for level, stages in enumerate(self.up):
            padding = condition.padding(len(self.up) - level)
            if level > 0:
                h = self.grow[level - 1](h, padding)
            for stage in cast(nn.ModuleList, stages):
                h = pass_on(stage, torch.cat([h, skips.pop()], dim=1), padding)
        h = self.out(silenced(F.silu(self.norm(h, padding)), padding))
        return crop(unfolded(h, self.patch), x.shape[2:]).type_as(x)

    def patches(self, x: Tensor) -> Tensor:
        """Return [B, C patch^d, *S / patch], S padded, for `x` [B, C, *S]."""
        return folded(pad(x, self.multiples), self.patch)

"""The modules of the backbone, in a file of their own so that finding it needs no torch."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from kernel import Condition, ConditionSpec, LatentSpec


class Prepared(NamedTuple):
    """What depends on the condition alone: [B, width] and [B, width, T], each None when absent."""

    vector: Tensor | None
    aligned: Tensor | None


class MineNetwork(nn.Module):
    """F(x, c_noise, condition). x, result: [B, C, *S]; c_noise: [B]."""

    def __init__(
        self, latent: LatentSpec, condition: ConditionSpec, width: int, depth: int, cycle: int
    ) -> None:
        super().__init__()
        rows = math.prod(latent.size[:-1])
        self.noise = NoiseEmbedding(width)
        self.vector = nn.Linear(condition.vector, width) if condition.vector else None
        self.aligned = nn.Conv1d(condition.aligned * rows, width, 1) if condition.aligned else None
        self.first = nn.Conv1d(latent.channels * rows, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, 2 ** (k % cycle)) for k in range(depth))
        self.norm = nn.GroupNorm(1, width)
        # A network that starts at zero starts from D = c_skip x.
        self.last = _zeroed(nn.Conv1d(width, latent.channels * rows, 3, padding=1))

    def prepare(self, condition: Condition) -> Prepared:
        """Return the embedded parts of a condition."""
        vector, aligned = condition.vector, condition.aligned
        return Prepared(
            None if self.vector is None or vector is None else self.vector(vector),
            None if self.aligned is None or aligned is None else self.aligned(_rows(aligned)),
        )

    def forward(self, x: Tensor, c_noise: Tensor, condition: Prepared) -> Tensor:
        """Return F, shaped like `x`."""
        embedded = self.noise(c_noise)
        if condition.vector is not None:
            embedded = embedded + condition.vector
        h = self.first(_rows(x))
        if condition.aligned is not None:
            h = h + condition.aligned
        for block in self.blocks:
            h = block(h, silu(embedded))
        result: Tensor = self.last(silu(self.norm(h)))
        return result.reshape(x.shape)


class Block(nn.Module):
    """A dilated convolution between two normalised layers, scaled and shifted by the embedding."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.modulation = nn.Linear(width, 2 * width)
        self.spread = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = _zeroed(nn.Conv1d(width, width, 1))

    def forward(self, h: Tensor, embedded: Tensor) -> Tensor:
        """Return [B, width, T]. h: [B, width, T]; embedded: [B, width]."""
        scale, shift = self.modulation(embedded)[..., None].chunk(2, dim=1)
        change: Tensor = self.mix(silu(self.spread(self.norm(h) * (1 + scale) + shift)))
        return h + change


class NoiseEmbedding(nn.Module):
    """c_noise [B] as [B, width], by Fourier features of 0.5 to 32 per unit and two layers."""

    frequencies: Tensor

    def __init__(self, width: int, features: int = 16) -> None:
        super().__init__()
        # In the state dict, so that a network built on the meta device is filled completely.
        octaves = torch.linspace(math.log(0.5), math.log(32.0), features)
        self.register_buffer("frequencies", octaves.exp())
        self.first = nn.Linear(2 * features, width)
        self.second = nn.Linear(width, width)

    def forward(self, c_noise: Tensor) -> Tensor:
        """Return [B, width]."""
        angle = c_noise[:, None] * self.frequencies
        features = torch.cat([angle.cos(), angle.sin()], dim=1).type_as(self.first.weight)
        result: Tensor = self.second(silu(self.first(features)))
        return result


def _rows(x: Tensor) -> Tensor:
    """Return [B, C * ..., T]: every axis but the last as channels."""
    return x.flatten(1, -2)


def _zeroed(layer: nn.Conv1d) -> nn.Conv1d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

"""Parts of several backbones: shapes, zero starts, norms and the embedding of the noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def zeroed(layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> nn.Module:
    """Return `layer` with its weight and bias at zero: its branch adds nothing at first."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def pad(x: Tensor, multiples: Sequence[int]) -> Tensor:
    """Return `x` with zeros appended to each axis after the channels, up to a multiple.

    x: [B, C, *S]; multiples: one for each axis of S.
    """
    missing = [-size % multiple for size, multiple in zip(x.shape[2:], multiples, strict=True)]
    if not any(missing):
        return x
    return F.pad(x, [part for count in reversed(missing) for part in (0, count)])


def crop(x: Tensor, size: Sequence[int]) -> Tensor:
    """Return `x` [B, C, *S] with the end of each axis after the channels cut to `size`."""
    for axis, count in enumerate(size, start=2):
        x = x.narrow(axis, 0, count)
    return x


def folded(x: Tensor, patch: int) -> Tensor:
    """Return `x` [B, C, *S] with each patch of positions as channels: [B, C patch^d, *S / patch].

    S has d axes, each a multiple of `patch`.
    """
    if patch == 1:
        return x
    axes = x.ndim - 2
    split = [part for size in x.shape[2:] for part in (size // patch, patch)]
    x = x.reshape(*x.shape[:2], *split)
    within, among = range(3, 3 + 2 * axes, 2), range(2, 2 + 2 * axes, 2)
    return x.permute(0, 1, *within, *among).flatten(1, 1 + axes)


def unfolded(x: Tensor, patch: int) -> Tensor:
    """Return [B, C, *S] for `x` [B, C patch^d, *S / patch]: the inverse of `folded`."""
    if patch == 1:
        return x
    axes = x.ndim - 2
    size = x.shape[2:]
    x = x.reshape(len(x), -1, *[patch] * axes, *size)
    order = [part for axis in range(2, 2 + axes) for part in (axis + axes, axis)]
    return x.permute(0, 1, *order).reshape(*x.shape[:2], *(count * patch for count in size))


def silenced(x: Tensor, padding: Tensor | None) -> Tensor:
    """Return `x` [B, C, *S] with zeros in the padding, bool [B, 1, ..., T], if there is any."""
    return x if padding is None else x.masked_fill(padding, 0)


def coarser(padding: Tensor, factor: int) -> Tensor:
    """Return true where `factor` positions in a row are padding: [..., T] -> [..., T / factor].

    T / factor is rounded up.
    """
    whole = F.pad(padding, (0, -padding.shape[-1] % factor), value=True)
    return whole.view(*whole.shape[:-1], -1, factor).all(-1)


def heard(padding: Tensor | None, size: Sequence[int]) -> Tensor | None:
    """Return true for positions of a latent to attend to: bool [B, 1, 1, prod(size)].

    padding: [B, 1, ..., T], T being the last of `size`.
    """
    if padding is None:
        return None
    return ~padding.expand(-1, 1, *size).flatten(2)[:, :, None]


class PaddedGroupNorm(nn.GroupNorm):
    """Group norm whose mean and variance leave out the padding."""

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Return [B, C, *S]. x: [B, C, *S]; padding: bool [B, 1, ..., T]."""
        if padding is None:
            return super().forward(x)
        # Under autocast the norm is computed in float32, like torch's.
        precise = x.to(torch.promote_types(x.dtype, torch.float32))
        grouped = precise.reshape(len(x), self.num_groups, -1, *x.shape[2:])
        kept = ~padding.expand(-1, 1, *x.shape[2:])[:, None]
        axes = tuple(range(2, grouped.ndim))
        count = kept.sum(axes, keepdim=True) * grouped.shape[2]
        centred = grouped - (grouped * kept).sum(axes, keepdim=True) / count
        variance = (centred.square() * kept).sum(axes, keepdim=True) / count
        result: Tensor = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)
        if not self.affine:
            return result
        weight, bias = (each.view(-1, *[1] * (x.ndim - 2)) for each in (self.weight, self.bias))
        return torch.addcmul(bias, result, weight)


class NoiseEmbedding(nn.Module):
    """Embed c_noise [B, times] as [B, width] by fixed Fourier features and two linear layers.

    The angular frequencies run geometrically from 0.5 to 64 per unit: the slowest is monotonic over
    c_noise = ln(sigma) / 4 in [-2, 2], the fastest separates t = 0.002 from 0. The checkpoint
    stores them, so a network built on the meta device gets all its buffers from it.
    """

    frequencies: Tensor

    def __init__(self, width: int, times: int = 1, features: int = 64) -> None:
        super().__init__()
        octaves = torch.linspace(math.log(0.5), math.log(64.0), features)
        self.register_buffer("frequencies", octaves.exp())
        self.first = nn.Linear(2 * features * times, width)
        self.second = nn.Linear(width, width)

    def forward(self, c_noise: Tensor, vector: Tensor | None) -> Tensor:
        """Return the activated sum [B, width] of the embedding and `vector` [B, width].

        c_noise: [B] or [B, times].
        """
        angle = c_noise.view(len(c_noise), -1, 1) * self.frequencies
        angle = torch.cat([angle.cos(), angle.sin()], dim=-1).flatten(1)
        features = angle.type_as(self.first.weight)
        embedded = self.second(F.silu(self.first(features)))
        return F.silu(embedded if vector is None else embedded + vector)

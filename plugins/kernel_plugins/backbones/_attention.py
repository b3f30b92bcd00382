"""Attention of a latent to itself and to a sequence, with rotary positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kernel_plugins.backbones._layers import zeroed

Memory = tuple[Tensor, Tensor]
"""The keys and values of one layer, each [B, heads, 1 + L, width / heads]."""


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021, eq. 34) in real arithmetic; axial for several axes.

    Each of the `axes` turns an equal share of the `width / 2` pairs of a head. Every call computes
    its tables from the stored frequencies: a table of an earlier call could belong to another
    device, dtype or inference mode.
    """

    frequencies: Tensor

    def __init__(self, width: int, axes: int, base: float) -> None:
        super().__init__()
        pairs = width // (2 * axes)
        self.register_buffer("frequencies", base ** (-torch.arange(pairs) / pairs))

    def forward(self, size: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return cos and sin [N, 1, 1, width / 2] of N = prod(size) tokens, row-major."""
        tables = []
        for axis, count in enumerate(size):
            position = torch.arange(
                count, dtype=torch.float32, device=self.frequencies.device
            ).view(-1, *[1] * (len(size) - axis))
            tables.append((position * self.frequencies).expand(*size, -1))
        angle = torch.cat(tables, dim=-1).flatten(0, -2)[:, None, None]
        return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return `x` [B, N, ..., width] with each pair (i, i + width / 2) turned by its angle."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class SelfAttention(nn.Module):
    """Let the tokens of one item attend to each other, optionally with normalised queries and keys.

    QK normalisation is Dehghani et al. 2023, section 2.1, with a root-mean-square norm.
    """

    def __init__(self, width: int, heads: int, qk_norm: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.scale = nn.Parameter(torch.ones(2, 1, width // heads)) if qk_norm else None

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None = None,
        heard: Tensor | None = None,
    ) -> Tensor:
        """Return the attended tokens. x, result: [B, N, width].

        rotary: the tables of `Rotary`; heard: true for tokens to attend to, bool [B, 1, 1, N].
        """
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))
        qk, v = qkv[:, :, :2], qkv[:, :, 2]
        if self.scale is not None:
            qk = F.rms_norm(qk, qk.shape[-1:]) * self.scale
        if rotary is not None:
            qk = rotate(qk, *rotary)
        q, k = qk.type_as(v).permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v.transpose(1, 2), attn_mask=heard)
        return cast(Tensor, self.out(attended.transpose(1, 2).flatten(2)))


class SequenceTokens(nn.Module):
    """Project a sequence to `width` and put a learned null token before it.

    A masked token, or a token of zeros, is not attended to. Without any other token the null token
    remains, so the null condition is the same at every length. No positions are added: the maker of
    a sequence encodes its order.
    """

    def __init__(self, sequence: int, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(sequence, width)
        self.null = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)

    def forward(self, sequence: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return tokens [B, 1 + L, width] and the mask of attention, bool [B, 1, 1, 1 + L].

        sequence: [B, L, W]; mask: [B, L], nonzero where the sequence holds something.
        """
        valid = sequence.ne(0).any(-1)
        if mask is not None:
            valid = valid & mask.ne(0)
        projected = self.project(sequence)
        null = self.null.type_as(projected).expand(len(projected), -1, -1)
        attended = F.pad(valid, (1, 0), value=True)[:, None, None]
        return torch.cat([null, projected], dim=1), attended


class CrossAttention(nn.Module):
    """Let the tokens of an item attend to its sequence; `remember` computes keys and values once.

    The last layer starts at zero.
    """

    def __init__(self, width: int, heads: int, memory: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.memory = nn.Linear(memory or width, 2 * width)
        self.out = zeroed(nn.Linear(width, width))

    def remember(self, tokens: Tensor) -> Memory:
        """Return the keys and values of `tokens` [B, 1 + L, memory]."""
        kv = self.memory(tokens).unflatten(-1, (2, self.heads, -1))
        key, value = kv.permute(2, 0, 3, 1, 4).unbind(0)
        return key, value

    def forward(self, x: Tensor, memory: Memory, mask: Tensor | None) -> Tensor:
        """Return the attended values. x, result: [B, N, width]; mask: bool [B, 1, 1, 1 + L]."""
        query = self.query(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(query, *memory, attn_mask=mask)
        return cast(Tensor, self.out(attended.transpose(1, 2).flatten(2)))

"""The default way from the items of a batch to their condition."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from kernel.items import Item
from kernel.values import Condition, LatentSpace


def collate(items: Sequence[Item], space: LatentSpace) -> Condition:
    """Return what `Task.collate` promises."""
    sequence, mask = _padded([item.sequence for item in items])
    return Condition(
        vector=_stacked([item.vector for item in items]),
        sequence=sequence,
        mask=mask,
        aligned=_encoded([item.aligned for item in items], space),
        origin=_encoded([item.origin for item in items], space),
        valid=held(items, space.latent.size[-1]),
    )


def _stacked(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Return parts of one shape one above another, zeros where one is missing."""
    some = next((part for part in parts if part is not None), None)
    if some is None:
        return None
    return torch.stack([some.new_zeros(some.shape) if part is None else part for part in parts])


def _padded(parts: Sequence[Tensor | None]) -> tuple[Tensor | None, Tensor | None]:
    """Return [B, L, W] and [B, L], true where a sequence has a row; L is at least 1."""
    some = next((part for part in parts if part is not None), None)
    if some is None:
        return None, None
    width = some.shape[1]
    rows = [some.new_zeros(0, width) if part is None else part for part in parts]
    lengths = torch.tensor([len(each) for each in rows])
    longest = max(1, int(lengths.max()))
    sequence = pad_sequence([*rows, some.new_zeros(longest, width)], batch_first=True)[:-1]
    return sequence, torch.arange(longest) < lengths[:, None]


def held(items: Sequence[Item], frames: int) -> Tensor | None:
    """Return [B, T], true in frames that lie not wholly in the padding; None if no item says."""
    if all(item.valid is None for item in items):
        return None
    held = [item.samples if item.valid is None else item.valid for item in items]
    pairs = zip(held, items, strict=True)
    counts = torch.tensor([-(-count * frames // item.samples) for count, item in pairs])
    return torch.arange(frames) < counts[:, None]


def _encoded(parts: Sequence[Tensor | None], space: LatentSpace) -> Tensor | None:
    """Return the latents [B, C, *S] of audio, zeros where there is none."""
    rows = [row for row, part in enumerate(parts) if part is not None]
    if not rows:
        return None
    found = space.encode(torch.stack([part for part in parts if part is not None]))
    if len(rows) == len(parts):
        return found
    whole = found.new_zeros(len(parts), *found.shape[1:])
    whole[rows] = found
    return whole

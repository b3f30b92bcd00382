"""The default way from the items of a batch to their condition."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from kernel.items import Item
from kernel.values import Condition, LatentSpace


def collate(items: Sequence[Item], space: LatentSpace) -> Condition:
    """Return what `Task.collate` promises."""
    vector = next((item.vector for item in items if item.vector is not None), None)
    sequence = next((item.sequence for item in items if item.sequence is not None), None)
    return attrs.evolve(
        Condition.cat([_told(item, vector, sequence) for item in items]),
        aligned=_encoded([item.aligned for item in items], space),
        origin=_encoded([item.origin for item in items], space),
        valid=held(items, space.latent.size[-1]),
    )


def _told(item: Item, vector: Tensor | None, sequence: Tensor | None) -> Condition:
    """Return the condition of one item, null where it lacks what another item has, like these."""
    own, rows, mask = item.vector, item.sequence, None
    if vector is not None:
        own = (torch.zeros_like(vector) if own is None else own)[None]
    if sequence is not None:
        found = sequence.new_zeros(1, sequence.shape[1]) if rows is None or not len(rows) else rows
        rows, mask = found[None], torch.full((1, len(found)), found is rows)
    return Condition(own, rows, mask)


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
    whole = found.new_zeros(len(parts), *found.shape[1:])
    whole[rows] = found
    return whole

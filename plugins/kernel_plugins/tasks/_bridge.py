"""Gaps of single samples, fitted to the known samples on both sides."""

from __future__ import annotations

import torch
from torch import Tensor


def bridged(sound: Tensor, made: Tensor, known: Tensor) -> Tensor:
    """Return `sound` where it is known, elsewhere `made` minus its error at the edges of the gap.

    The error is interpolated linearly between the two edges; at an end of the sound it is that of
    the single edge. All are [C, L]; `known`, bool, is true somewhere in every channel.
    """
    length = sound.shape[-1]
    place = torch.arange(length).expand(sound.shape)
    before = place.where(known, torch.tensor(-1)).cummax(-1).values
    after = place.where(known, torch.tensor(length)).flip(-1).cummin(-1).values.flip(-1)
    before, after = before.where(before >= 0, after), after.where(after < length, before)
    share = (place - before) / (after - before).clamp_min(1)
    error = sound - made
    return torch.where(
        known, sound, made + error.gather(-1, before).lerp(error.gather(-1, after), share)
    )

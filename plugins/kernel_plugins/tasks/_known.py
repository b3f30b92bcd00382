"""The measurement of the samples that a gap leaves known, in the audio or in the latent."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from kernel import LatentSpace, Measurement
from kernel_plugins.mathematics.losses import l1
from kernel_plugins.tasks._measure import measure
from kernel_plugins.tasks._operators import Mask

TOLERANCE = 1e-3
"""Largest difference that counts as none, relative to a latent's deviation or a sound's peak."""


def known_samples(
    space: LatentSpace, sound: Tensor, keep: Tensor, domain: Literal["auto", "audio", "latent"]
) -> Measurement:
    """Return the measurement of `sound` [B, C, L] where `keep` [B, 1, L] is true.

    In `auto` it is measured in the audio if the codec reproduces the sound.
    """
    if domain == "audio" or (domain == "auto" and _returns(space, sound)):
        mask = Mask(keep)
        return measure(space, mask, mask(sound))
    target = space.encode(sound * keep)
    known = _unaffected(space, sound, keep, target).type_as(target)
    return Measurement(
        lambda x0: x0 * known,
        target * known,
        l1,
        lambda x0: torch.where(known > 0, target, x0),
    )


def _returns(space: LatentSpace, sound: Tensor) -> bool:
    latent = space.encode(sound)
    error = space.decode(latent, space.samples) - sound.type_as(latent)
    return float(error.abs().max()) <= TOLERANCE * float(sound.abs().max())


def _unaffected(space: LatentSpace, sound: Tensor, keep: Tensor, latent: Tensor) -> Tensor:
    """Return [B, 1, ..., T], true for the frames that do not depend on the gap."""
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(sound.shape, generator=draws) * sound.abs().amax((1, 2), keepdim=True)
    change = (space.encode(torch.where(keep, sound, noise)) - latent).abs()
    axes = tuple(range(1, change.ndim - 1))
    return change.amax(axes, keepdim=True) <= TOLERANCE * latent.std()

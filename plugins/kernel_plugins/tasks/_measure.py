"""Measurements of latents by an operator on their audio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from kernel import LatentSpace, Measurement
from kernel_plugins.mathematics.losses import l1, l2
from kernel_plugins.tasks._operators import Operator

__all__ = ["measure", "on_device"]

DISTANCES = {"l1": l1, "l2": l2}


def measure(
    space: LatentSpace,
    operator: Operator,
    target: Tensor,
    distance: Literal["l1", "l2"] | Callable[[Tensor, Tensor], Tensor] = "l1",
    noise: float | Tensor = 0.0,
) -> Measurement:
    """Return the measurement of latents by an operator on their decoded audio.

    target: the measured values, in units of the codec's audio, on the CPU. noise: the standard
    deviation of their error, or one for each item, [B]. Both sides of the measurement are divided
    by the codec's gain: a step in the latent then changes the measurement by as much, and a
    guidance is equally strong with every codec.
    """
    probe = torch.randn(1, *space.latent.shape, generator=torch.Generator().manual_seed(0))
    probe = on_device(space, probe)
    heard = space.decode(probe, space.samples)
    gain = float((heard.square().mean() / probe.square().mean()).sqrt())
    operator, known = operator.like(heard), target.type_as(heard)

    def predicted(x0: Tensor) -> Tensor:
        return operator(space.decode(x0, space.samples)) / gain

    def projected(x0: Tensor) -> Tensor:
        return space.encode(operator.project(space.decode(x0, space.samples), known))

    return Measurement(
        predicted,
        known / gain,
        DISTANCES[distance] if isinstance(distance, str) else distance,
        projected if operator.projects else None,
        _each(noise, heard, probe.ndim) / gain,
    )


def on_device(space: LatentSpace, tensor: Tensor) -> Tensor:
    """Return a tensor from the CPU with the dtype and on the device of the run's latents."""
    return tensor.to(space.device, space.dtype)


def _each(noise: float | Tensor, like: Tensor, axes: int) -> float | Tensor:
    """Return noise [B] with so many axes, of the dtype and on the device of `like`."""
    if isinstance(noise, float):
        return noise
    return noise.type_as(like).view(-1, *[1] * (axes - 1))

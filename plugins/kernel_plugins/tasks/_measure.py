"""What an operator measures of the audio that latents stand for."""

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
    """Return what an operator measures of the audio that latents stand for, through the decoder.

    target: what was measured, in the units of the audio that the codec takes, on the CPU. noise:
    the standard deviation of its error, or that of each item, [B]. Both sides of the measurement
    are divided by the codec's gain, which makes a step in the latent as large as the one it causes
    in what is measured: a guidance is as strong with one codec as with another.
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
    """Return a tensor of the CPU with the dtype and on the device of the run's latents."""
    return tensor.to(space.device, space.dtype)


def _each(noise: float | Tensor, like: Tensor, axes: int) -> float | Tensor:
    """Return noise [B] with so many axes, of the dtype and on the device of `like`."""
    if isinstance(noise, float):
        return noise
    return noise.type_as(like).view(-1, *[1] * (axes - 1))

"""The space of a model's latents, and the condition of a batch, in a training as in a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn

from kernel.assembly import Assembly
from kernel.items import Item
from kernel.kinds.codec import CodecModule
from kernel.kinds.objective import Objective
from kernel.kinds.task import Task
from kernel.runner.device import Machine
from kernel.standardised import parted
from kernel.values import Condition, ConditionSpec, LatentSpace, LatentSpec


def latent_space(
    assembly: Assembly,
    samples: int,
    codec: nn.Module,
    machine: Machine,
    encoder: Callable[[str], Callable[..., Any]],
) -> LatentSpace:
    """Return the space of the latents of so many samples, with the codec that was built."""
    module = cast("CodecModule", codec)
    scale = sigma_data(assembly)
    return LatentSpace(
        assembly.task.audio,
        samples,
        assembly.codec.latent(assembly.task.audio, samples),
        lambda audio: parted(module.encode(machine.put(audio)))[0] * scale,
        lambda x0, length: module.decode(x0 / scale, length),
        encoder,
        machine.dtype,
        machine.device,
    )


def sigma_data(assembly: Assembly) -> float:
    """Return the scale of x0 over a latent of unit variance."""
    return next((each.sigma_data for each in assembly.all(Objective)), 1.0)


@torch.no_grad()
def collated(
    task: Task, items: Sequence[Item], space: LatentSpace, spec: ConditionSpec, machine: Machine
) -> Condition:
    """Return the condition of a batch on the device, whole: null where the task tells nothing.

    spec: the parts that the network takes.
    """
    condition = task.collate(items, space)
    return complete(condition, spec, len(items), space.latent).map(machine.put)


def complete(
    condition: Condition, spec: ConditionSpec, batch: int, latent: LatentSpec
) -> Condition:
    """Return the condition with the parts that the network takes and the task lacks made null."""
    lacking: dict[str, Tensor] = {}
    for name, size in (("vector", ()), ("aligned", latent.size), ("origin", latent.size)):
        if (width := getattr(spec, name)) and getattr(condition, name) is None:
            lacking[name] = torch.zeros(batch, width, *size)
    if spec.sequence and condition.sequence is None:
        lacking["sequence"] = torch.zeros(batch, 1, spec.sequence)
        lacking["mask"] = torch.zeros(batch, 1, dtype=torch.bool)
    return attrs.evolve(condition, **lacking)

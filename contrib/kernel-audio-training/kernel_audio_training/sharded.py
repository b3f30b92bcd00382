"""Weights, gradients, moments and averages shared out among processes by FSDP2.

Each process holds a part of every parameter along its first axis. The parameters of a unit are
gathered before a forward or a backward pass of it and set free after that. Everything that is
written is gathered first, so files are those of one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor, nn

from kernel.runner.processes import Processes

__all__ = ["common", "part", "shard", "whole"]


def shard(module: nn.Module, device: str, processes: Processes, blocks: bool = False) -> None:
    """Share out the parameters of a module among the processes, in place.

    device: the kind of device that the module is on. blocks: whether the members of its lists of
    modules are units of their own, which have to be called as modules; the rest is one unit.
    Gradients are summed, not averaged.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    mesh = init_device_mesh(device, (processes.count,))
    # Of nested units the inner ones come first.
    for each in (*reversed(_blocks(module) if blocks else []), module):
        unit: Any = fully_shard(each, mesh=mesh, reshard_after_forward=True)
        unit.set_gradient_divide_factor(1.0)
        unit.set_force_sum_reduction_for_comms(True)
    for name in ("prepare", "watch"):
        if callable(getattr(module, name, None)):
            register_fsdp_forward_method(module, name)


def _blocks(module: nn.Module) -> list[nn.Module]:
    """Return the members of all lists of modules that have parameters, the outer ones first."""
    found = [
        member
        for listed in module.modules()
        if isinstance(listed, nn.ModuleList)
        for member in listed
        if not isinstance(member, nn.ModuleList | nn.ModuleDict)
        and next(member.parameters(), None) is not None
    ]
    return list(dict.fromkeys(found))


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with the parts of all processes, which have to call it together."""
    from torch.distributed.tensor import DTensor

    return {
        name: cast("Any", each).full_tensor() if isinstance(each, DTensor) else each
        for name, each in tensors.items()
    }


def part(tensor: Tensor, like: Tensor) -> Tensor:
    """Return the part of a whole tensor that this process holds of `like`, if that is in parts."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return cast("Tensor", distribute_tensor(tensor, like.device_mesh, like.placements))


def common(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that every process holds whole."""
    from torch.distributed.tensor import DTensor

    return {name: each for name, each in tensors.items() if not isinstance(each, DTensor)}

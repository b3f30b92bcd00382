"""The parts that a recipe is given: networks on the device, frozen models and averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from copy import deepcopy
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from kernel.assembly import Assembly
from kernel.denoiser import leveled, prepare
from kernel.kinds.backbone import Backbone, NetworkModule
from kernel.kinds.objective import Objective
from kernel.kinds.recipe import Parts
from kernel.kinds.schedule import Schedule
from kernel.runner.device import Machine
from kernel.runner.sampling import Companion, alone
from kernel.values import Condition

Denoise = Callable[[Tensor, Tensor, Condition], Tensor]


@attrs.frozen(eq=False)
class Average:
    """A frozen copy of a module, which follows it step by step."""

    module: nn.Module
    followed: nn.Module
    decay: float

    def advance(self) -> None:
        """Move towards the module, after a step."""
        blend(self.module.state_dict(), self.followed, self.decay)


@torch.no_grad()
def blend(average: Mapping[str, Tensor], module: nn.Module, decay: float) -> None:
    """Move an average towards a module's parameters, in place; its buffers are copied."""
    for name, value in module.state_dict(keep_vars=True).items():
        if isinstance(value, nn.Parameter):
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


def provide(
    assembly: Assembly,
    codec: nn.Module,
    machine: Machine,
    averages: list[Average],
    companion: Companion = alone,
) -> Parts:
    """Return the parts of a training, with a fresh network where there is a backbone.

    codec: placed on the machine's device. averages: those that the recipe asks for are added to it.
    companion: loads another model by its name.
    """

    def build() -> nn.Module:
        return machine.place(assembly.build_network(assembly.condition))

    def denoiser(objective: Objective, backbone: Backbone, network: nn.Module) -> Denoise:
        evaluate = leveled(machine.evaluate(network), backbone)

        def denoise(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
            with machine.autocast():
                prepared = prepare(cast("NetworkModule", network), condition, backbone)
            return objective.denoise(evaluate, x, sigma, prepared.tree, prepared.origin)

        return denoise

    def model(name: str) -> Denoise:
        objective, backbone, network = companion(name)
        return denoiser(objective, backbone, machine.frozen(network))

    def average(module: nn.Module, half_life: float) -> nn.Module:
        copy = deepcopy(module).eval().requires_grad_(False)
        averages.append(Average(copy, module, 0.5 ** (1 / half_life)))
        return copy

    def jvp(function: Any, primals: Any, tangents: Any) -> tuple[Tensor, Tensor]:
        eager = torch.compiler.set_stance("force_eager") if machine.compile else nullcontext()
        # Neither compiled networks nor fused attention have a forward derivative.
        with eager, sdpa_kernel(SDPBackend.MATH):
            return torch.func.jvp(function, primals, tangents)  # type: ignore[return-value]

    schedules = assembly.all(Schedule)
    return Parts(
        objective=cast("Objective", next(iter(assembly.all(Objective)), None)),
        schedule=cast("Schedule", schedules[0].sized(assembly.latent) if schedules else None),
        task=assembly.task,
        latent=assembly.latent,
        codec=codec,
        network=cast("nn.Module", build() if assembly.all(Backbone) else None),
        build_network=build,
        evaluate=machine.evaluate,
        denoiser=lambda network: denoiser(assembly.objective, assembly.backbone, network),
        model=model,
        average=average,
        jvp=jvp,
    )

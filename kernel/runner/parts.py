"""What a recipe is given: networks on the device, frozen models and averages that follow."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, cast

import attrs
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from kernel.assembly import Assembly
from kernel.denoiser import leveled, prepare
from kernel.errors import UsageError
from kernel.kinds.backbone import Backbone, NetworkModule
from kernel.kinds.objective import Objective
from kernel.kinds.recipe import Parts
from kernel.kinds.schedule import Schedule
from kernel.runner.device import Machine
from kernel.values import Condition

Companion = Callable[[str], tuple[Objective, Backbone, nn.Module]]


def alone(name: str) -> tuple[Objective, Backbone, nn.Module]:
    """Raise UsageError for a model that is asked for by its name where no other can be loaded."""
    raise UsageError(f"model {name!r} is asked for where there is only one")


class Provider:
    """Makes the Parts of a training, and moves the averages that a recipe asked for.

    codec: placed on the machine's device. companion: loads another model by its name.
    """

    def __init__(
        self, assembly: Assembly, codec: nn.Module, machine: Machine, companion: Companion
    ) -> None:
        self._assembly = assembly
        self._codec = codec
        self._machine = machine
        self._companion = companion
        self._followers: list[tuple[nn.Module, nn.Module, float]] = []
        self._plain = False

    @property
    def averages(self) -> list[nn.Module]:
        """Return the averages, in the order in which they were asked for."""
        return [average for average, _, _ in self._followers]

    def parts(self) -> Parts:
        """Return the parts, with a fresh network where there is a backbone."""
        assembly = self._assembly
        schedules = assembly.all(Schedule)
        return Parts(
            objective=cast("Objective", next(iter(assembly.all(Objective)), None)),
            schedule=cast("Schedule", schedules[0].sized(assembly.latent) if schedules else None),
            task=assembly.task,
            latent=assembly.latent,
            codec=self._codec,
            network=cast("nn.Module", self._build() if assembly.all(Backbone) else None),
            build_network=self._build,
            evaluate=self._evaluate,
            denoiser=lambda network: self._denoiser(assembly.objective, assembly.backbone, network),
            model=self._model,
            average=self._average,
            jvp=self._jvp,
        )

    def advance(self) -> None:
        """Move every average towards its module, after a step."""
        for average, module, decay in self._followers:
            blend(average.state_dict(), module.state_dict(), decay)

    def _build(self) -> nn.Module:
        return self._machine.place(self._assembly.build_network(self._assembly.condition))

    def _evaluate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        usual = self._machine.evaluate(function)
        plain = attrs.evolve(self._machine, compile=False).evaluate(function)
        return lambda *arguments: (plain if self._plain else usual)(*arguments)

    def _denoiser(
        self, objective: Objective, backbone: Backbone, network: nn.Module
    ) -> Callable[[Tensor, Tensor, Condition], Tensor]:
        evaluate = leveled(self._evaluate(network), backbone)

        def denoise(x: Tensor, sigma: Tensor, condition: Condition) -> Tensor:
            with self._machine.autocast():
                prepared = prepare(cast("NetworkModule", network), condition, backbone)
            return objective.denoise(evaluate, x, sigma, prepared.tree, prepared.origin)

        return denoise

    def _model(self, name: str) -> Callable[[Tensor, Tensor, Condition], Tensor]:
        objective, backbone, network = self._companion(name)
        placed = self._machine.place(network).eval().requires_grad_(False)
        return self._denoiser(objective, backbone, placed)

    def _average(self, module: nn.Module, half_life: float) -> nn.Module:
        average = deepcopy(module).eval().requires_grad_(False)
        self._followers.append((average, module, 0.5 ** (1 / half_life)))
        return average

    def _jvp(self, function: Any, primals: Any, tangents: Any) -> tuple[Tensor, Tensor]:
        self._plain = True
        try:
            # Fused attention has no forward derivative.
            with sdpa_kernel(SDPBackend.MATH):
                return torch.func.jvp(function, primals, tangents)  # type: ignore[return-value]
        finally:
            self._plain = False


@torch.no_grad()
def blend(average: dict[str, Tensor], current: dict[str, Tensor], decay: float) -> None:
    """Move an average towards the current values, in place; counters are copied."""
    for name, value in current.items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)

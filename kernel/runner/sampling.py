"""The sampling loop: requests in, sounds out, one solver trajectory for each batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Self, cast

import torch
from torch import Tensor, nn

from kernel.assembly import Assembly
from kernel.denoiser import Denoiser, Routed
from kernel.errors import UsageError
from kernel.items import Item, Request
from kernel.kinds.backbone import Backbone, NetworkModule
from kernel.kinds.objective import Objective
from kernel.kinds.observer import Observer
from kernel.models import ModelPack
from kernel.runner.device import Machine
from kernel.runner.encoders import encoders
from kernel.runner.grid import grid
from kernel.runner.guide import guided
from kernel.runner.health import check_measurement, check_trajectory, size
from kernel.runner.scheduling import Answer, Scheduler, Seat, each
from kernel.runner.space import collated, latent_space
from kernel.seeds import ItemNoise
from kernel.values import Condition, ConditionSpec, Context, LatentSpace, Sound

__all__ = ["Companion", "Sampler", "alone"]

Companion = Callable[[str], tuple[Objective, Backbone, nn.Module]]
"""Loads another model by its name."""


def alone(name: str) -> tuple[Objective, Backbone, nn.Module]:
    """Raise UsageError for a model that is asked for by its name where no other can be loaded."""
    raise UsageError(f"model {name!r} is asked for where there is only one")


class Sampler:
    """Makes sounds with an assembly whose network and codec are loaded.

    `evaluations` counts the network's calls in the trajectory of the latest batch (the NFE),
    `gradients` the backward passes through them; `network_items` the batch items in all calls of
    all batches, which a guidance with two branches doubles. `companion` loads another model by its
    name, for those who ask for one; `encoder` finds what listens.
    """

    def __init__(
        self,
        assembly: Assembly,
        condition: ConditionSpec,
        network: nn.Module,
        codec: nn.Module,
        machine: Machine,
        observers: Sequence[Observer] = (),
        companion: Companion | None = None,
    ) -> None:
        self._assembly = assembly
        self._condition = condition
        self._codec = machine.frozen(codec)
        self.encoder = encoders(assembly, machine)
        self._machine = machine
        self._observers = observers
        self._companion = companion or alone
        own = self._loaded(assembly.objective, assembly.backbone, network)
        self._models: dict[str | None, Callable[[], Denoiser]] = {None: own}
        self.evaluations = 0
        self.gradients = 0
        self.network_items = 0

    @classmethod
    def of(
        cls,
        assembly: Assembly,
        pack: ModelPack,
        machine: Machine,
        observers: Sequence[Observer] = (),
        companion: Companion | None = None,
    ) -> Self:
        """Return the sampler of a planned model. Raises InputError when its weights do not fit."""
        network = assembly.build_network(pack.condition)
        codec = assembly.build_codec()
        return cls(assembly, pack.condition, network, codec, machine, observers, companion)

    @property
    def companions(self) -> tuple[str, ...]:
        """Return the names of the other models that were asked for."""
        return tuple(sorted(filter(None, self._models)))

    def sounds(
        self, requests: Sequence[Request], steps: int, seed: int, batch: int
    ) -> Iterator[tuple[int, Sound]]:
        """Yield each request's index with each of its sounds, in order.

        Raises PluginError for a schedule's bad grid and NumericalError naming a bad step.
        """
        return each(self._assembly.task, self.answers(requests, steps, seed, batch))

    def answers(
        self,
        requests: Sequence[Request],
        steps: int,
        seed: int,
        batch: int,
        indices: Sequence[int] | None = None,
    ) -> Iterator[Answer]:
        """Yield the index of each request, or of those of `indices`, with all of its sounds."""
        scheduler = Scheduler(self._assembly.task, requests, batch, indices)
        taken = 0

        def run(seats: Sequence[Seat]) -> Sequence[Tensor]:
            nonlocal taken
            ahead = taken, taken + steps * (1 + scheduler.batches), scheduler.done
            taken += steps
            return self._make(seats, steps, seed, ahead).unbind()

        return scheduler.answers(run)

    @torch.no_grad()
    def _make(
        self,
        seats: Sequence[Seat],
        steps: int,
        seed: int,
        ahead: tuple[int, int, int],
    ) -> Tensor:
        """Return the audio [B, C, samples] of a batch, on the CPU.

        ahead: the steps that were taken before it, those of the whole run, the requests done.
        """
        assembly, machine = self._assembly, self._machine
        windows = [seat.window for seat in seats]
        samples = windows[0].samples
        latent = assembly.codec.latent(assembly.task.audio, samples)
        sigmas = grid(assembly, steps, latent, windows[0].start)
        space = latent_space(assembly, samples, self._codec, machine, self.encoder)
        places = [seat.place for seat in seats]
        noise = ItemNoise(seed, places, latent.shape, machine.put)
        x = noise(sigmas[0], sigmas[0])
        denoiser = Routed([window.model for window in windows], self._denoiser)
        condition = denoiser.settled(self._told(windows, space), x)
        measurement = assembly.task.measure(windows, space)
        if measurement is not None:
            check_measurement(measurement, space, len(seats))
        context = Context(
            condition,
            tuple(sigmas),
            measurement,
            assembly.objective.sigma_data,
            space,
            ItemNoise(seed, [("guidance", *place) for place in places], latent.shape, machine.put),
            lambda word: self._told([assembly.task.named(word)], space),
            denoiser.model,
        )
        guidances = assembly.guidances
        estimate = guided(denoiser, guidances, context)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            return estimate(x, sigma, condition)

        origin = condition.origin if condition.moved is None else condition.moved
        if origin is None:
            x.mul_(assembly.objective.start(sigmas[0]))
        else:  # The variance of the data is in the origin.
            x = origin + x.mul_(sigmas[0])
        solver = assembly.solver.along(assembly.objective.path, origin)
        trajectory = solver.trajectory(denoise, x, sigmas, noise)
        sizes = []
        before, total, done = ahead
        step = next(trajectory, None)
        while step is not None:
            x = step.x
            for guidance in guidances.values():
                x = guidance.constrain(x, step.sigma, denoise, context)
            sizes.append(size(x))
            for observer in self._observers:
                scalars = {"sigma": step.sigma, "done": done}
                observer.step(before + step.index + 1, total, scalars)
            try:
                step = trajectory.send(x)
            except StopIteration:
                step = None
        used = denoiser.denoisers.values()
        self.evaluations = sum(each.evaluations for each in used)
        self.gradients = sum(each.gradients for each in used)
        self.network_items += sum(each.items for each in used)
        check_trajectory(assembly, sigmas, sizes)
        return space.decode(x, samples).float().cpu()

    def _told(self, items: Sequence[Item], space: LatentSpace) -> Condition:
        """Return the condition of items, whole and on the device."""
        return collated(self._assembly.task, items, space, self._condition, self._machine)

    def _denoiser(self, name: str | None) -> Denoiser:
        """Return a new denoiser of the run's model, or of another by its name."""
        if name not in self._models:
            self._models[name] = self._loaded(*self._companion(str(name)))
        return self._models[name]()

    def _loaded(
        self, objective: Objective, backbone: Backbone, network: nn.Module
    ) -> Callable[[], Denoiser]:
        """Return what makes new denoisers of a network, which is placed and frozen."""
        module = cast("NetworkModule", self._machine.frozen(network))
        return partial(Denoiser, objective, module, self._machine.network(network), backbone)

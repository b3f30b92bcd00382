"""The sampling loop: requests in, sounds out, one solver trajectory for each batch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, Self, cast

import attrs
import torch

from kernel.denoiser import Denoiser, Routed
from kernel.errors import UsageError
from kernel.runner.batches import complete, latent_space
from kernel.runner.encoders import encoders
from kernel.runner.grid import grid
from kernel.runner.guide import guided
from kernel.runner.health import Health, check_measurement
from kernel.runner.noise import BrownianNoise, ItemNoise
from kernel.values import Condition, Context, LatentSpace, Request

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kernel.assembly import Assembly
    from kernel.kinds.backbone import Backbone, NetworkModule
    from kernel.kinds.objective import Objective
    from kernel.kinds.observer import Observer
    from kernel.kinds.task import Task
    from kernel.models import ModelPack
    from kernel.runner.device import Machine
    from kernel.values import ConditionSpec, Network, Noise

__all__ = ["Sampler", "Sound"]


@attrs.frozen(eq=False)
class Sound:
    """A finished request: audio [C, L] on the CPU, and the index that its noise was seeded with."""

    index: int
    request: Request
    audio: Tensor


@attrs.frozen(eq=False)
class Window:
    """A window of a request: the request's index, and what tells the window's noise from others."""

    index: int
    request: Request
    stream: int

    @property
    def place(self) -> tuple[int, ...]:
        """Return where the window's seed is derived from."""
        return (self.index, self.stream) if self.stream else (self.index,)


class Sampler:
    """Makes sounds with an assembly whose network and codec are loaded.

    `evaluations` counts the network's calls of one batch's trajectory (the NFE), `gradients` the
    backward passes; `network_items` the batch items in all calls, which a guidance with two
    branches doubles. `companion` loads another model by its name, for those who ask for one;
    `encoder` finds what listens.
    """

    def __init__(
        self,
        assembly: Assembly,
        condition: ConditionSpec,
        network: nn.Module,
        codec: nn.Module,
        machine: Machine,
        observers: Sequence[Observer] = (),
        companion: Callable[[str], tuple[Objective, Backbone, nn.Module]] | None = None,
    ) -> None:
        self._assembly = assembly
        self._condition = condition
        self._own = Evaluated.of(assembly.objective, assembly.backbone, network, machine)
        self._codec = machine.place(codec).eval().requires_grad_(False)
        self.encoder = encoders(assembly, machine)
        self._machine = machine
        self._observers = observers
        self._companion = companion
        self._others: dict[str, Evaluated] = {}
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
        companion: Callable[[str], tuple[Objective, Backbone, nn.Module]] | None = None,
    ) -> Self:
        """Return the sampler of a planned model. Raises InputError when its weights do not fit."""
        network = assembly.build_network(pack.condition)
        codec = assembly.build_codec()
        return cls(assembly, pack.condition, network, codec, machine, observers, companion)

    @property
    def companions(self) -> tuple[str, ...]:
        """Return the names of the other models that were asked for."""
        return tuple(sorted(self._others))

    def sounds(
        self,
        requests: Sequence[Request],
        steps: int,
        seed: int,
        batch: int,
        noise: Literal["independent", "brownian"] = "independent",
    ) -> Iterator[Sound]:
        """Yield a Sound for each request, in order.

        Raises PluginError for a schedule's bad grid and NumericalError naming a bad step.
        """
        task = self._assembly.task
        windows = [list(_windows(task, pair)) for pair in enumerate(requests)]
        groups = list(_batches([window for each in windows for window in each], batch))
        total = steps * len(groups)
        waiting = deque(enumerate(requests))
        made: dict[Window, Tensor] = {}
        for done, group in enumerate(groups):
            sounds = self._make(group, steps, seed, noise, done * steps, total)
            made.update(zip(group, sounds, strict=True))
            while waiting and all(window in made for window in windows[waiting[0][0]]):
                index, request = waiting.popleft()
                audio = task.join([made.pop(window) for window in windows[index]], request)
                yield Sound(index, request, task.finish(audio, request))

    @torch.no_grad()
    def _make(
        self,
        group: Sequence[Window],
        steps: int,
        seed: int,
        kind: str,
        done: int,
        total: int,
    ) -> Tensor:
        assembly, machine = self._assembly, self._machine
        requests = [window.request for window in group]
        samples = requests[0].samples
        latent = assembly.codec.latent(assembly.task.audio, samples)
        sigmas = grid(assembly, steps, latent)
        space = latent_space(assembly, samples, self._codec, machine, self.encoder)
        places = [window.place for window in group]
        noise: Noise = ItemNoise(seed, places, latent.shape, machine)
        x = noise(sigmas[0], sigmas[0])
        denoiser = Routed([request.model for request in requests], self._denoiser)
        condition = denoiser.settled(self._told(requests, space), x)
        measurement = assembly.task.measurement(requests, space)
        if measurement is not None:
            check_measurement(measurement, space, len(group), machine)
        context = Context(
            condition,
            tuple(sigmas),
            measurement,
            assembly.objective.sigma_data,
            space,
            ItemNoise(seed, [("guidance", *place) for place in places], latent.shape, machine),
            lambda word: assembly.task.named(word).map(machine.put),
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
        if kind == "brownian":
            noise = BrownianNoise(seed, places, latent.shape, machine, sigmas[0])
        solver = assembly.solver.along(assembly.objective.path, origin)
        trajectory = solver.trajectory(denoise, x, sigmas, noise)
        health = Health(assembly, sigmas)
        step = next(trajectory, None)
        while step is not None:
            x = step.x
            for guidance in guidances.values():
                x = guidance.constrain(x, step.sigma, denoise, context)
            health.note(x)
            for observer in self._observers:
                observer.step(done + step.index + 1, total, {"sigma": step.sigma})
            try:
                step = trajectory.send(x)
            except StopIteration:
                step = None
        self.evaluations, self.gradients = denoiser.evaluations, denoiser.gradients
        self.network_items += denoiser.items
        health.refuse()
        return space.decode(x, samples).float().cpu()

    def _told(self, requests: Sequence[Request], space: LatentSpace) -> Condition:
        """Return the condition of a batch, whole, on the device and with its origin encoded."""
        condition = Condition.cat([each.condition for each in requests])
        condition = complete(condition, self._condition, len(requests), space.latent)
        condition = condition.map(self._machine.put)
        origins = [each.origin for each in requests if each.origin is not None]
        if not origins:
            return condition
        return attrs.evolve(condition, origin=space.encode(torch.stack(origins)))

    def _denoiser(self, name: str | None) -> Denoiser:
        """Return a new denoiser of the run's model, or of another by its name."""
        if name is None:
            return self._own.denoiser()
        if name not in self._others:
            if self._companion is None:
                raise UsageError(f"model {name!r} is asked for where there is only one")
            self._others[name] = Evaluated.of(*self._companion(name), self._machine)
        return self._others[name].denoiser()


@attrs.frozen(eq=False)
class Evaluated:
    """A network on the device, and the objective that a denoiser is read off it with."""

    objective: Objective
    backbone: Backbone
    module: NetworkModule
    network: Network

    @classmethod
    def of(
        cls, objective: Objective, backbone: Backbone, network: nn.Module, machine: Machine
    ) -> Self:
        """Return a network placed and frozen."""
        module = machine.place(network).eval().requires_grad_(False)
        return cls(objective, backbone, cast("NetworkModule", module), machine.network(network))

    def denoiser(self) -> Denoiser:
        """Return a denoiser that has evaluated nothing yet."""
        return Denoiser(self.objective, self.module, self.network, self.backbone)


def _windows(task: Task, pair: tuple[int, Request]) -> Iterator[Window]:
    index, request = pair
    for number, window in enumerate(task.windows(request)):
        yield Window(index, window, number if window.stream is None else window.stream)


def _batches(windows: Sequence[Window], batch: int) -> Iterator[list[Window]]:
    """Yield runs of about `batch` neighbours that have the same length, none of a joint apart.

    The windows of a joint come together where the first of them is.
    """
    first: dict[int | Window, int] = {}

    def place(each: tuple[int, Window]) -> int:
        joint = each[1].request.joint
        return first.setdefault(each[1] if joint is None else joint, each[0])

    placed = sorted(enumerate(windows), key=place)
    run: list[Window] = []
    for _, same in groupby(placed, key=lambda each: (each[1].request.samples, place(each))):
        together = [window for _, window in same]
        longer = run and run[0].request.samples != together[0].request.samples
        if run and (longer or len(run) + len(together) > batch):
            yield run
            run = []
        run = run + together
    if run:
        yield run

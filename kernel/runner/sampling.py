"""The sampling loop: requests in, sounds out, one solver trajectory for each batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Literal, Self, cast

import attrs
import torch

from kernel.checkpoint import load_weights
from kernel.denoiser import Denoiser
from kernel.errors import NumericalError
from kernel.runner.grid import grid
from kernel.runner.noise import BrownianNoise, ItemNoise
from kernel.values import Condition, Context, Request

if TYPE_CHECKING:
    from torch import Tensor, nn

    from kernel.assembly import Assembly
    from kernel.components import CodecModule, NetworkModule, Observer
    from kernel.models import ModelPack
    from kernel.runner.device import Machine
    from kernel.values import ConditionSpec, GuidedDenoise, LatentSpec, Noise

__all__ = ["Sampler", "Sound"]


@attrs.frozen(eq=False)
class Sound:
    """A finished request: audio [C, L] on the CPU, and the index that its noise was seeded with."""

    index: int
    request: Request
    audio: Tensor


class Sampler:
    """Makes sounds with an assembly whose network and codec are loaded.

    `evaluations` counts the network's calls of one batch's trajectory (the NFE); `network_items`
    the batch items in all of them, which a guidance with two branches doubles.
    """

    def __init__(
        self,
        assembly: Assembly,
        condition: ConditionSpec,
        network: nn.Module,
        codec: nn.Module,
        machine: Machine,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._assembly = assembly
        self._condition = condition
        self._module = machine.place(network).eval().requires_grad_(False)
        self._codec = machine.place(codec).eval().requires_grad_(False)
        self._network = machine.network(network)
        self._machine = machine
        self._observers = observers
        self.evaluations = 0
        self.network_items = 0

    @classmethod
    def of(
        cls,
        assembly: Assembly,
        pack: ModelPack,
        machine: Machine,
        observers: Sequence[Observer] = (),
    ) -> Self:
        """Return the sampler of a model. Raises InputError when its weights do not fit."""
        network = assembly.build_network(pack.condition)
        load_weights(network, pack.weights, f"model {pack.name}")
        codec = assembly.build_codec()
        return cls(assembly, pack.condition, network, codec, machine, observers)

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
        groups = list(_batches(requests, batch))
        total = steps * len(groups)
        for done, group in enumerate(groups):
            audio = self._make(group, steps, seed, noise, done * steps, total)
            for (index, request), each in zip(group, audio, strict=True):
                yield Sound(index, request, self._assembly.task.finish(each, request))

    @torch.no_grad()
    def _make(
        self,
        group: Sequence[tuple[int, Request]],
        steps: int,
        seed: int,
        kind: str,
        done: int,
        total: int,
    ) -> Tensor:
        assembly, machine = self._assembly, self._machine
        requests = [request for _, request in group]
        samples = requests[0].samples
        latent = assembly.codec.latent(assembly.task.audio, samples)
        sigmas = grid(assembly, steps, latent)
        indices = [index for index, _ in group]
        noise: Noise = ItemNoise(seed, indices, latent.shape, machine)
        condition = Condition.cat([each.condition for each in requests])
        condition = _complete(condition, self._condition, len(requests), latent).map(machine.put)
        context = Context(condition, tuple(sigmas), assembly.task.measurement(requests))

        module = cast("NetworkModule", self._module)
        denoiser = Denoiser(assembly.objective, module, self._network)
        guided: GuidedDenoise = denoiser
        for guidance in assembly.guidances:
            guided = guidance.wrap(guided, context)

        x = noise(sigmas[0], sigmas[0]).mul_(sigmas[0])
        if condition.origin is not None:
            x = condition.origin + x
        if kind == "brownian":
            noise = BrownianNoise(seed, indices, latent.shape, machine, sigmas[0])
        solver = assembly.solver.along(assembly.objective.path, condition.origin)
        trajectory = solver.trajectory(
            lambda x, sigma: guided(x, sigma, condition), x, sigmas, noise
        )
        finite = []
        step = next(trajectory, None)
        while step is not None:
            x = step.x
            for guidance in assembly.guidances:
                x = guidance.constrain(x, step.sigma, context)
            # Kept on the device: looking at it now would make the host wait at every step.
            finite.append(x.isfinite().all())
            for observer in self._observers:
                observer.step(done + step.index + 1, total, {"sigma": step.sigma})
            try:
                step = trajectory.send(x)
            except StopIteration:
                step = None
        self.evaluations = denoiser.evaluations
        self.network_items += denoiser.items
        _refuse_nonfinite(torch.stack(finite), sigmas)
        codec = cast("CodecModule", self._codec)
        return codec.decode(x / assembly.objective.sigma_data, samples).float().cpu()


def _batches(requests: Sequence[Request], batch: int) -> Iterator[list[tuple[int, Request]]]:
    """Yield runs of at most `batch` neighbours that have the same length."""
    for _, same in groupby(enumerate(requests), key=lambda pair: pair[1].samples):
        run = list(same)
        for start in range(0, len(run), batch):
            yield run[start : start + batch]


def _complete(
    condition: Condition, spec: ConditionSpec, batch: int, latent: LatentSpec
) -> Condition:
    """Return the condition with the parts that the network takes and the task lacks made null."""
    lacking: dict[str, Tensor] = {}
    if spec.vector and condition.vector is None:
        lacking["vector"] = torch.zeros(batch, spec.vector)
    if spec.sequence and condition.sequence is None:
        lacking["sequence"] = torch.zeros(batch, 1, spec.sequence)
        lacking["mask"] = torch.zeros(batch, 1, dtype=torch.bool)
    if spec.aligned and condition.aligned is None:
        lacking["aligned"] = torch.zeros(batch, spec.aligned, *latent.size)
    return attrs.evolve(condition, **lacking)


def _refuse_nonfinite(finite: Tensor, sigmas: Sequence[float]) -> None:
    bad = (~finite).nonzero().flatten().tolist()
    if bad:
        raise NumericalError(
            f"step {bad[0] + 1} of {len(finite)} (to sigma {sigmas[bad[0] + 1]:.4g}) left the "
            f"finite numbers; use more steps, weaker guidance, or --precision float32"
        )

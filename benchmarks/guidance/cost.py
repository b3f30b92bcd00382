"""What guided sampling costs over the network's own forward and backward passes.

    python benchmarks/guidance/cost.py FILE [--model NAME] [--task infill] [--guidance dps]

FILE is a recording that the task edits. Both are timed in turn, on the same batch and the same
number of evaluations, and the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import ClassVar

import torch

from kernel import Observer
from kernel.config import RunConfig
from kernel.registry import Registry
from kernel.runner.device import Machine
from kernel.runner.plan import plan_run
from kernel.runner.sampling import Sampler


def main() -> None:
    """Print the two times of an evaluation and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--task", default="infill")
    parser.add_argument("--guidance", default="dps")
    parser.add_argument("--span", default="0.4:0.5")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    config = RunConfig(
        plugins=("euler", f"task.{given.task}", f"guidance.{given.guidance}"),
        model=given.model,
        steps=given.steps,
        count=given.batch,
        batch=given.batch,
        inputs=(given.file,),
        options={"task": {"span": given.span}},
    )
    plan = plan_run(config, Registry.scan())
    machine = Machine.choose(config)
    clock = Clock()
    sampler = Sampler.of(plan.assembly, plan.model, machine, (clock,), plan.companion)
    requests = plan.assembly.task.requests(config.inputs, given.batch)
    network, latent = _network(sampler), plan.assembly.latent

    def guided() -> tuple[float, int]:
        """Return the seconds of a step and how many items, a channel each, were in it."""
        clock.steps.clear()
        before = sampler.network_items
        list(sampler.sounds(requests, given.steps, 0, 64))
        assert sampler.gradients == sampler.evaluations == given.steps
        taken = median(after - at for at, after in pairwise(clock.steps))
        return taken, (sampler.network_items - before) // given.steps

    def bare(items: int) -> float:
        times = []
        for _ in range(given.steps):
            x = torch.randn(items, *latent.shape).requires_grad_()
            began = time.perf_counter()
            torch.autograd.grad(network(x).sum(), x)
            times.append(time.perf_counter() - began)
        return median(times)

    times = []
    for _ in range(given.rounds):
        taken, items = guided()
        times.append((taken, bare(items)))
    both, alone = (median(column) for column in zip(*times, strict=True))
    print(
        f"{plan.model.name}, {given.task} with {given.guidance}, batch {items}: "
        f"{1e3 * both:.1f} ms an evaluation, forward and backward alone {1e3 * alone:.1f} ms, "
        f"ratio {both / alone:.3f}"
    )


class Clock(Observer):
    """Notes when each step was finished."""

    steps: ClassVar[list[float]] = []

    def step(self, index: int, total: int, scalars: dict[str, float]) -> None:
        """Note the time."""
        self.steps.append(time.perf_counter())


def _network(sampler: Sampler):  # type: ignore[no-untyped-def]
    """Return the run's network as a function of x alone."""
    own = sampler._models[None]()
    from kernel import Condition

    prepared = own._module.prepare(Condition())

    def network(x: torch.Tensor) -> torch.Tensor:
        return own._network(x, x.new_full((len(x),), 0.1), prepared)

    return network


if __name__ == "__main__":
    main()

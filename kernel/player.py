"""A model that was loaded once and makes sounds whenever it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kernel.config import RunConfig, load
from kernel.kinds.observer import Observer
from kernel.runner.device import Machine
from kernel.runner.plan import Plan, plan_run
from kernel.runner.sampling import Sampler
from kernel.values import Sound

__all__ = ["Player"]


class Player:
    """Makes sounds with a loaded model; `kernel.load` returns one.

    plan: the model, the components that it is played with, and the `steps` that it recommends.
    """

    def __init__(self, plan: Plan, config: RunConfig) -> None:
        self.plan = plan
        self._config = config
        self._machine = Machine.choose(config, config.cuda_graph)
        self._network = plan.assembly.build_network(plan.model.condition)
        self._codec = plan.assembly.build_codec()

    def sample(
        self,
        *,
        count: int | None = None,
        steps: int | None = None,
        seed: int = 0,
        inputs: Sequence[str | Path] = (),
        observers: Sequence[Observer] = (),
        **options: Any,
    ) -> list[Sound]:
        """Return the sounds of the model's task, in order; `kernel.run` writes the same ones.

        count: all of each input if not given, or ten. steps: of the solver, the model's if not
        given. inputs: audio files for a task that takes any. options: the task's, such as
        `label="7"`. Raises UsageError for an option that the task does not have.
        """
        given = {"count": count, "steps": steps, "seed": seed, "inputs": tuple(map(Path, inputs))}
        base = self._config.model_dump()
        config = load(RunConfig, base, given, {f"task.{name}": options[name] for name in options})
        plan = self.plan
        if options or steps is not None:
            plan = plan_run(config, plan.registry)
        sampler = Sampler(
            plan.assembly,
            plan.model.condition,
            self._network,
            self._codec,
            self._machine,
            observers,
            plan.companion,
        )
        task = plan.assembly.task
        requests = task.requests(config.inputs, config.count or task.usual_count(config.inputs))
        made = sampler.sounds(requests, plan.steps, config.seed, config.batch)
        return [sound for _, sound in made]

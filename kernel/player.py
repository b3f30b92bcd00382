"""A model that was loaded once and makes sounds whenever it is asked to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from kernel.config import RunConfig, load
from kernel.errors import MisfitError
from kernel.kinds import run_kinds
from kernel.kinds._component import Component
from kernel.kinds.observer import Observer
from kernel.runner.device import Machine
from kernel.runner.plan import Plan, plan_run
from kernel.runner.sampling import Sampler
from kernel.values import Sound

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Player"]


class Player:
    """Makes sounds with a loaded model; `kernel.load` returns one.

    plan: the model, the components that it is played with, and the `steps` that it recommends.
    evaluations: of the network, in the last batch that was made (the NFE).
    """

    def __init__(
        self, plan: Plan, config: RunConfig, loaded: tuple[nn.Module, nn.Module] | None = None
    ) -> None:
        self.plan = plan
        self.evaluations = 0
        self._config = config
        self._machine = Machine.choose(config, config.cuda_graph)
        self._loaded = loaded or (
            plan.assembly.build_network(plan.model.condition),
            plan.assembly.build_codec(),
        )

    def using(self, *parts: str | Component, options: Mapping[str, Any] | None = None) -> Player:
        """Return a player of the same loaded model with other parts or options.

        parts: names of plugins, or components, in place of those of their kinds. Raises MisfitError
        for a component that weights belong to, or whose kind has no single place in a run.
        """
        names = [part for part in parts if isinstance(part, str)]
        plugins = (*self._config.plugins, *names)
        config = load(RunConfig, self._config.model_dump(), {"plugins": plugins}, options)
        plan = plan_run(config, self.plan.registry) if names or options else self.plan
        for part in parts:
            if isinstance(part, Component):
                if part.fixed:
                    raise MisfitError(
                        f"the weights of {plan.model.name} belong to its {part.kind}; load a "
                        f"model of its own for {type(part).__name__}"
                    )
                if part.accumulates or part.kind not in run_kinds():
                    raise MisfitError(
                        f"a run takes {part.kind}s by name; give using() the name of "
                        f"{type(part).__name__}, and its options"
                    )
                plan = attrs.evolve(plan, assembly=plan.assembly.swap(part))
        return Player(plan, config, self._loaded)

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
        config = load(RunConfig, self._config.model_dump(), given)
        plan = self.plan
        if options:
            plan = self.using(options={f"task.{name}": options[name] for name in options}).plan
        sampler = Sampler(
            plan.assembly,
            plan.model.condition,
            *self._loaded,
            self._machine,
            observers,
            plan.companion,
        )
        task = plan.assembly.task
        requests = task.requests(config.inputs, config.count or task.usual_count(config.inputs))
        made = sampler.sounds(requests, config.steps or plan.steps, config.seed, config.batch)
        sounds = [sound for _, sound in made]
        self.evaluations = sampler.evaluations
        return sounds

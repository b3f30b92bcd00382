"""Scores sounds with metrics: each by itself, or all of them together as one set."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from kernel.errors import KernelError, PluginError
from kernel.kinds.metric import Metric, MetricModule
from kernel.runner.device import Machine
from kernel.values import AudioSpec

Scores = dict[str, float | None]


class Evaluation:
    """Collects the scores of sounds, one after another.

    A score that is not finite, or that a metric refuses to give, is None and part of no mean;
    `notes` says which.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        audio: AudioSpec,
        machine: Machine,
        encoder: Callable[[str], Callable[..., Any]],
    ) -> None:
        self._metrics = metrics
        self._modules = {
            name: machine.place(
                metric.listen(audio, encoder) if metric.encoders else metric.build(audio)
            ).eval()
            for name, metric in metrics.items()
        }
        self._machine = machine
        self._items: list[Scores] = []
        self._sounds = 0
        self.notes: list[str] = []

    @torch.no_grad()
    def refer(self, audio: Tensor) -> None:
        """Take in a reference [C, L], for the metrics that compare two sets."""
        for name, metric in self._metrics.items():
            if "references" in metric.needs:
                cast("MetricModule", self._modules[name]).refer(self._machine.put(audio))

    @torch.no_grad()
    def add(self, name: str, audio: Tensor, reference: Tensor | None = None) -> Scores:
        """Return the scores of the sound `name`, by the metrics that score each sound by itself.

        audio, reference: [C, L] on the CPU. Raises PluginError for a metric that needs a reference
        when there is none.
        """
        scores: Scores = {}
        for metric_name, metric in self._metrics.items():
            module = cast("MetricModule", self._modules[metric_name])
            given = [audio]
            if "reference" in metric.needs:
                if reference is None:
                    raise PluginError(
                        f"metric.{metric_name} compares with a reference and {name} has none; its "
                        f"task has to give every request one, or leave the metric out"
                    )
                given.append(reference)
            given = [self._machine.put(part) for part in given]
            try:
                if metric.scope == "set":
                    module.update(*given)
                else:
                    module.reset()
                    module.update(*given)
                    scores |= self._named(metric_name, module, name)
            except KernelError as reason:
                self.notes.append(f"{metric_name} of {name}: {reason}")
                if metric.scope == "item":
                    scores[metric_name] = None
        self._sounds += 1
        self._items.append(scores)
        return scores

    @torch.no_grad()
    def summary(self) -> list[dict[str, Any]]:
        """Return name, scope, value, std, count and higher_is_better of every score.

        The value is the mean over the sounds, or that of the set; the standard deviation, over the
        sounds, is None where there are fewer than two. count: how many sounds have a score.
        """
        return [row for name, metric in self._metrics.items() for row in self._rows(name, metric)]

    def _rows(self, name: str, metric: Metric) -> Iterator[dict[str, Any]]:
        about = {"scope": metric.scope, "higher_is_better": metric.higher_is_better}
        if metric.scope == "set":
            module = cast("MetricModule", self._modules[name])
            for key, value in self._named(name, module, "the set").items():
                yield {"name": key, "value": value, "std": None, "count": self._sounds, **about}
            return
        mine = {k for item in self._items for k in item if k == name or k.startswith(f"{name}.")}
        for key in sorted(mine - {name} or mine):
            values = [value for item in self._items if (value := item.get(key)) is not None]
            mean = statistics.fmean(values) if values else None
            std = statistics.stdev(values) if len(values) > 1 else None
            yield {"name": key, "value": mean, "std": std, "count": len(values), **about}

    def _named(self, name: str, module: MetricModule, what: str) -> Scores:
        try:
            found = module.compute()
        except KernelError as reason:
            self.notes.append(f"{name} of {what}: {reason}")
            return {name: None}
        parts = (
            {f"{name}.{key}": value for key, value in found.items()}
            if isinstance(found, Mapping)
            else {name: found}
        )
        scores: Scores = {}
        for key, value in parts.items():
            number = float(value)
            scores[key] = number if math.isfinite(number) else None
            if scores[key] is None:
                self.notes.append(f"{key} of {what} is {number}, which is no score")
        return scores

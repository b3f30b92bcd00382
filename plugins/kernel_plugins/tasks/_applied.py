"""The base of the tasks that use a model of another task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import ConditionSpec, Dataset, Item, UsageError, did_you_mean
from kernel_plugins.tasks._audio import AudioTask

if TYPE_CHECKING:
    from torch import Tensor

ABOUT: Mapping[str, tuple[str, ...]] = {"solver": ("ddpm",), "guidance": ("moments",)}
"""Recommendations of a task whose measurement is not met exactly."""

EXACTLY = {**ABOUT, "guidance": ("moments", "projection")}
"""Recommendations of a task with an exact measurement and a projection."""


class AppliedTask(AudioTask):
    """A task that learns nothing; it may give a label to a model that knows labels."""

    labels: tuple[str, ...] = Field((), description="labels of the model's training")
    label: str | None = Field(None, description="label to make, one of `labels`; by default any")

    @property
    def condition(self) -> ConditionSpec:
        """Return a vector with one value for each label."""
        return ConditionSpec(vector=len(self.labels))

    @property
    def told(self) -> Tensor | None:
        """Return the vector of `label`. Raises UsageError for a label that the model lacks."""
        return None if self.label is None else self.named(self.label).vector

    def dataset(self, split: str) -> Dataset:
        """Raise UsageError: the task learns nothing."""
        raise UsageError(
            "the task uses a trained model and learns nothing; train with a task like"
            " 'unconditional' and run this one with its model"
        )

    def named(self, word: str) -> Item:
        """Return a label as a one-hot vector. Raises UsageError for an unknown label."""
        import torch

        if word not in self.labels:
            known = ", ".join(self.labels) or "none"
            raise UsageError(
                f"there is no label {word!r}, the model has {known}; leave it out or choose another"
                f"{did_you_mean(word, self.labels)}"
            )
        vector = torch.eye(len(self.labels))[self.labels.index(word)]
        return Item(self.samples, vector=vector)

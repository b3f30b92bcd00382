"""What tasks share that use a model which another task has trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from kernel import ConditionSpec, Dataset, Item, UsageError, did_you_mean
from kernel_plugins.tasks._audio import AudioTask

if TYPE_CHECKING:
    from torch import Tensor

ABOUT: Mapping[str, tuple[str, ...]] = {"solver": ("ddpm",), "guidance": ("moments",)}
"""What a task recommends that measures something which is not to be met exactly."""

EXACTLY = {**ABOUT, "guidance": ("moments", "projection")}
"""What a task recommends that measures something exact, and has a projection for it."""


class AppliedTask(AudioTask):
    """A task that learns nothing, and what it may tell a model that knows labels."""

    labels: tuple[str, ...] = Field((), description="the labels that the model was trained with")
    label: str | None = Field(None, description="what to make, of `labels`; by default anything")

    @property
    def condition(self) -> ConditionSpec:
        """Return a vector with one value for each label."""
        return ConditionSpec(vector=len(self.labels))

    @property
    def told(self) -> Tensor | None:
        """Return the vector of `label`. Raises UsageError for one that the model lacks."""
        return None if self.label is None else self.named(self.label).vector

    def dataset(self, split: str) -> Dataset:
        """Raise UsageError: there is nothing to learn."""
        raise UsageError(
            "the task uses a trained model and has nothing to learn; train with a task like"
            " 'unconditional' and run this one with its model"
        )

    def named(self, word: str) -> Item:
        """Return a label as a one-hot vector. Raises UsageError for one that the model lacks."""
        import torch

        if word not in self.labels:
            known = f"none of {', '.join(self.labels)}" if self.labels else "the model has none"
            raise UsageError(
                f"there is no label {word!r}, {known}; leave it out or choose another"
                f"{did_you_mean(word, self.labels)}"
            )
        vector = torch.eye(len(self.labels))[self.labels.index(word)]
        return Item(self.samples, vector=vector)

"""The settings of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from kernel.config import Count, Model, Place, Settings

__all__ = ["GroupConfig", "TrainConfig"]


class GroupConfig(BaseModel):
    """The settings of one group of a recipe's parameters, where they differ from the training's."""

    model_config = Settings.model_config

    learning_rate: float | None = Field(None, gt=0, description="peak learning rate")
    weight_decay: float | None = Field(None, ge=0, description="weight decay")
    betas: tuple[float, float] | None = Field(None, description="decays of Adam's two moments")
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")


class TrainConfig(Settings):
    """The settings of `kernel train`."""

    command = "train"
    resumable = frozenset(
        {
            *("average", "checkpoint_every", "compile", "device", "keep", "learning_rate"),
            *("precision", "sample_count", "sample_every", "sample_inputs", "steps"),
            *("validate_every", "validate_items", "workers"),
        }
    )

    model: Model | None = Field(
        None, description="a model to go on from with its parts, e.g. digits-edm"
    )
    init: Model | None = Field(
        None, description="a model whose weights a new network starts from where they fit"
    )
    freeze: tuple[str, ...] = Field(
        (), description="parameters that stay as they are, e.g. blocks.0.* (may be repeated)"
    )
    out: Place = Field(Path("trainings/latest"), description="folder to make")
    steps: int = Field(1500, ge=1, le=1_000_000_000, description="optimizer steps, e.g. 4000")
    batch: Count = Field(32, description="items in a step, e.g. 8")
    micro_batch: Count | None = Field(
        None, description="items of a step computed at once, all if not given; saves memory"
    )
    buckets: int | None = Field(
        None,
        ge=2,
        le=64,
        description="number of lengths that batches of similar items are cut to, e.g. 4",
    )
    workers: int | None = Field(
        None,
        ge=0,
        le=1024,
        description="processes that read data ahead, e.g. 8, or 0 for none; changes no result",
    )
    latent_cache: Place | None = Field(
        None, description="folder of latents, each encoded once and kept, e.g. /tmp/latents"
    )
    optimizer: str = Field("AdamW", description="a name in torch.optim, e.g. RAdam")
    optimizer_options: dict[str, Any] = Field(
        {}, description="options of the optimizer besides its rate and weight decay, e.g. betas"
    )
    shard: Literal["none", "whole", "blocks"] = Field(
        "none",
        description="share weights, averages and moments out among the processes (FSDP2); gather "
        "the whole network at a time, or each block of it",
    )
    learning_rate: float = Field(5e-4, gt=0, description="peak learning rate, e.g. 1e-4")
    weight_decay: float = Field(0.01, ge=0, description="weight decay, as the optimizer takes it")
    warmup: int = Field(100, ge=0, description="steps over which the learning rate rises")
    decay: Literal["constant", "cosine", "inverse-sqrt"] = Field(
        "cosine", description="the learning rate after the warm-up"
    )
    decay_from: int | None = Field(
        None, ge=1, description="step from which inverse-sqrt falls; the last of the warm-up"
    )
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    groups: dict[str, GroupConfig] = Field(
        {}, description="settings of a group of the recipe's parameters, by name"
    )
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the averaged weights, 0 for none")
    averages: tuple[str, ...] = Field(
        (), description="more averages to keep: half-life-STEPS or power-LENGTH, e.g. power-0.1"
    )
    snapshot_every: int = Field(
        0, ge=0, description="steps between snapshots of power averages, 0 for none"
    )
    average: str = Field(
        "ema", description="the model's average: ema, a kept one, or power-LENGTH of snapshots"
    )
    condition_dropout: float = Field(
        0.1, ge=0, le=1, description="fraction of items that are trained without their condition"
    )
    validate_every: int | None = Field(
        None, ge=0, description="steps between validations, 0 for none; those of checkpoints"
    )
    validate_items: int = Field(
        64, ge=1, description="items of the valid split that are validated on at most"
    )
    sample_every: int = Field(
        0, ge=0, description="steps between sounds made with the averaged weights, 0 for none"
    )
    sample_count: Count = Field(4, description="sounds made each time")
    sample_inputs: tuple[Place, ...] = Field(
        (), description="audio to make them from, for tasks that take any"
    )
    checkpoint_every: int = Field(250, ge=1, description="steps between checkpoints")
    keep: int = Field(2, ge=1, description="checkpoints that are kept")
    sampling_steps: Count | None = Field(
        None, description="solver steps that the model will recommend; 16, or as `model` does"
    )
    tasks: tuple[str, ...] = Field(
        (), description="tasks besides its own that the model will be offered for"
    )
    title: str = Field("", description="title in the trained model's manifest")
    description: str = Field("", description="description in the trained model's manifest")
    licence: str = Field("", description="licence of the trained weights")
    attribution: str = Field("", description="who is to be named with the trained weights")

    @classmethod
    def table(cls, kind: str) -> tuple[str, ...]:
        """Return the place of a table of options; the optimizer and the groups have their own."""
        group = kind.removeprefix("groups.")
        if kind == "optimizer":
            return ("optimizer_options",)
        return ("options", kind) if group == kind else ("groups", group)

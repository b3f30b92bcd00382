"""Trained weights, as data: a folder with a manifest, from which no code is run.

An entry point `model.NAME = "some.package"` names a folder that holds `model.toml`, which is a
`Manifest`, and the weights: `model.safetensors` has those of the network, `codec.safetensors` those
of a trained codec. A pack of a codec alone has no network. The folder needs no `__init__.py`.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from kernel.kinds import accumulates, model_kinds, training_kinds

__all__ = ["Manifest", "Origin", "Trained"]


class Trained(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """How the weights came about."""

    sigma_min: float = Field(0, ge=0, description="smallest sigma in training; 0 for a codec")
    sigma_max: float = Field(0, ge=0, description="largest sigma in training; 0 for a codec")
    condition_dropout: float = Field(0, ge=0, le=1, description="fraction trained unconditionally")
    steps: int = Field(ge=0, description="optimizer steps")
    batch: int = Field(ge=1, description="items in a step")
    seed: int = Field(ge=0, description="seed of the training")
    sample_rate: int = Field(gt=0, description="sample rate of the training's audio in Hz")
    channels: int = Field(1, ge=1, description="channels of the training's audio")
    condition: dict[Literal["vector", "sequence", "aligned", "origin"], int] = Field(
        default_factory=dict, description="width of each part of the condition"
    )
    loss: float | None = Field(None, description="mean loss of the last steps")
    codec: dict[Literal["name", "distribution", "version", "hash"], str] = Field(
        default_factory=dict, description="whose codec weights it was trained with, and their hash"
    )
    parent: dict[Literal["name", "distribution", "version", "hash"], str] = Field(
        default_factory=dict, description="the model whose weights were gone on from"
    )


class Origin(BaseModel, frozen=True, extra="forbid"):
    """Version and hash of a component at the time of the training."""

    version: str = Field(description="version of the distribution")
    hash: str = Field(description="hash of the distribution's content, or of its sources")


class Manifest(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """The content of `model.toml`: the model, and the components and options that it needs."""

    format: Literal[1] = Field(1, description="version of this format")
    title: str = Field(description="a few words")
    description: str = Field("", description="what it generates and what it learnt from")
    licence: str = Field("", description="licence of the weights")
    attribution: str = Field("", description="who is to be named with the weights")
    parameters: int = Field(ge=0, description="number of trained values")
    plugins: dict[str, str | list[str]] = Field(
        description="name of the plugin by kind; a list where the kind accumulates"
    )
    distributions: dict[str, str] = Field(
        default_factory=dict,
        description="whose each plugin was, by KIND.NAME; theirs is taken where it is installed",
    )
    parts: dict[str, Origin] = Field(
        default_factory=dict, description="what the backbone and the codec were, by kind"
    )
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="options by kind, or by KIND.NAME"
    )
    tasks: tuple[str, ...] = Field(
        (), description="tasks besides its own that the model is good for, by the plugins' names"
    )
    steps: int = Field(0, ge=0, description="recommended solver steps; 0 for a codec")
    trained: Trained = Field(description="how the weights came about")

    @property
    def network(self) -> bool:
        """Return whether there is a network, and not a codec alone."""
        return "backbone" in self.plugins

    @property
    def components(self) -> list[tuple[str, str]]:
        """Return kind and name of every plugin."""
        return [(kind, name) for kind in self.plugins for name in self.names(kind)]

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the plugins of a kind."""
        names = self.plugins.get(kind, ())
        return (names,) if isinstance(names, str) else tuple(names)

    def toml(self) -> str:
        """Return what `model.toml` has to hold."""
        import tomli_w

        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))

    @field_validator("plugins")
    @classmethod
    def _complete(cls, plugins: dict[str, str | list[str]]) -> dict[str, str | list[str]]:
        alone = not {"objective", "backbone"} & plugins.keys()
        needed = ("codec", "task") if alone else (*model_kinds(), "task")
        if missing := [kind for kind in needed if kind not in plugins]:
            raise ValueError(f"no {missing[0]} is named")
        for kind, names in plugins.items():
            if kind not in training_kinds():
                raise ValueError(f"{kind!r} is not a kind of plugin")
            if isinstance(names, list) and not accumulates(kind):
                raise ValueError(f"{kind} has to be one name")
            for name in [names] if isinstance(names, str) else names:
                if not re.fullmatch(r"[\w.+-]+", name):
                    raise ValueError(f"{kind} cannot be called {name!r}")
        return plugins

    @model_validator(mode="after")
    def _playable(self) -> Self:
        if self.network and not (self.steps and self.trained.sigma_min and self.trained.sigma_max):
            raise ValueError("steps, trained.sigma_min and trained.sigma_max have to be above 0")
        return self

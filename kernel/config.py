"""One validated description of a run or a training, from a TOML file and the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from kernel.errors import InputError, UsageError, did_you_mean

__all__ = ["RESUMABLE", "RunConfig", "Settings", "TrainConfig", "explain", "load", "parse_option"]

RESUMABLE = frozenset(
    {
        *("average", "checkpoint_every", "compile", "device", "keep", "learning_rate"),
        *("precision", "sample_count", "sample_every", "sample_inputs", "steps"),
        *("validate_every", "validate_items", "workers"),
    }
)
"""The settings of a training that may change when it is resumed."""

ConfigT = TypeVar("ConfigT", bound="Settings")


def _writable(path: Path) -> Path:
    """Return the path. Raises ValueError where no file system can have it."""
    if "\0" in str(path):
        raise ValueError("a path holds no NUL")
    return path


Name = Annotated[str, StringConstraints(max_length=200)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Place = Annotated[Path, AfterValidator(_writable)]
Model = Annotated[str, BeforeValidator(lambda name: str(name) if isinstance(name, Path) else name)]


class Settings(BaseModel):
    """The settings that runs and trainings share."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    plugins: tuple[str, ...] = Field(
        (), description="components, each [KIND.]NAME[@DISTRIBUTION], e.g. edm,unipc or solver.heun"
    )
    without: tuple[str, ...] = Field(
        (), description="leaves a recommended plugin out, e.g. observer.page (may be repeated)"
    )
    options: dict[str, dict[str, Any]] = Field({}, description="components' options, by kind")
    prefer: dict[Name, Name] = Field({}, description="preferred: 'solver.unipc' = 'lab-b'")
    force_options: bool = Field(
        False, description="take options that contradict those which a model was trained with"
    )
    seed: int = Field(
        0, ge=0, description="seed, e.g. 7; every item and every step derives its own from it"
    )
    device: str = Field("auto", description="such as auto, cpu, cuda, cuda:1 or mps")
    precision: Literal["auto", "float64", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the network; auto is bfloat16 on CUDA, else float32"
    )
    compile: bool = Field(False, description="compile the network with torch.compile")


class RunConfig(Settings):
    """The settings of `kernel run`."""

    model: Model | None = Field(
        None, description="a model of `kernel models` or a folder, e.g. digits-rf"
    )
    steps: Count | None = Field(None, description="solver steps, e.g. 32; the model's if not given")
    count: Count | None = Field(
        None, description="sounds to make, e.g. 100; by default all of each input, or 10"
    )
    batch: Count = Field(16, description="sounds made at once, e.g. 64; changes none")
    inputs: tuple[Place, ...] = Field(
        (), description="audio for tasks that take any, e.g. song.wav (may be repeated)"
    )
    out: Place = Field(Path("runs"), description="folder where runs go, e.g. /tmp")
    name: str | None = Field(
        None, description="the run's folder, e.g. night", pattern=r"^[\w+-][\w.+-]*$"
    )
    cuda_graph: bool = Field(False, description="replay the network's evaluation as a CUDA graph")


class GroupConfig(BaseModel):
    """The settings of one group of a recipe's parameters, where they differ from the training's."""

    model_config = Settings.model_config

    learning_rate: float | None = Field(None, gt=0, description="peak learning rate")
    weight_decay: float | None = Field(None, ge=0, description="weight decay")
    betas: tuple[float, float] | None = Field(None, description="decays of Adam's two moments")
    clip: float | None = Field(None, gt=0, description="largest norm of the gradient")


class TrainConfig(Settings):
    """The settings of `kernel train`."""

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
    shard: bool = Field(
        False, description="share weights, averages and moments out among the processes (FSDP2)"
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


def load(
    schema: type[ConfigT],
    base: Path | Mapping[str, Any] | None,
    values: Mapping[str, Any],
    options: Mapping[str, Any] | None = None,
) -> ConfigT:
    """Return the configuration from a TOML file, overlaid by `values`, overlaid by `options`.

    base: the file, or settings in its place. Values that are None count as not given. options:
    `KIND.OPTION` to a value; the kind may carry a name: `guidance.cfg.guidance_scale`. Raises
    InputError for a file that cannot be read and UsageError for a setting that cannot be.
    """
    settings = _read(base) if isinstance(base, Path) else dict(base or {})
    settings |= {name: value for name, value in values.items() if value is not None}
    try:
        config = schema.model_validate(settings)
        for path, value in (options or {}).items():
            kind, _, option = path.rpartition(".")
            if not (kind and option):
                raise UsageError(
                    f"option {path!r} is not of the form KIND.OPTION, e.g. solver.predictor_order"
                )
            if kind == "optimizer":
                table = settings.get("optimizer_options", {})
                settings["optimizer_options"] = {**table, option: value}
                continue
            # The groups of a recipe's parameters are settings, in a table of their own.
            field, _, group = kind.partition(".")
            field, kind = (field, group) if field == "groups" else ("options", kind)
            table = settings.get(field, {})
            settings[field] = {**table, kind: {**table.get(kind, {}), option: value}}
        return schema.model_validate(settings) if options else config
    except ValidationError as error:
        raise UsageError(explain(error, schema, "setting")) from None


def parse_option(text: str) -> tuple[str, Any]:
    """Split `KIND.OPTION=VALUE`; the value is read as TOML and, failing that, as a string."""
    path, equals, value = text.partition("=")
    if not equals or "." not in path:
        raise UsageError(
            f"option {text!r} is not of the form KIND.OPTION=VALUE, e.g. solver.predictor_order=2"
        )
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return path.strip(), value


def explain(error: ValidationError, schema: type[BaseModel], what: str) -> str:
    """Return one sentence for pydantic's first complaint, with near misses for unknown names."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"{what} {place!r} does not exist{did_you_mean(place, schema.model_fields)}"
    reason = first["msg"].removeprefix("Value error, ")
    reason = f"{reason[0].lower()}{reason[1:]}"
    if not place:  # Options that do not go together; the reason names them.
        return f"{what} is refused: {reason}"
    given = repr(first["input"])
    given = given if len(given) <= 100 else f"{given[:97]}..."
    return f"{what} {place!r} cannot be {given}: {reason}"


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"configuration {file} cannot be read: {reason}; check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"configuration {file} is not valid TOML: {error}") from None

"""One validated description of what is to be done, from a TOML file and the command line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

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

__all__ = [
    *("Count", "Model", "Place", "RunConfig", "Settings"),
    *("explain", "load", "parse_option"),
]

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
    """The settings that every command shares."""

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

    command: ClassVar[str] = "run"
    """The command whose settings they are."""

    resumable: ClassVar[frozenset[str]] = frozenset()
    """The settings that may change when what was begun is gone on with."""

    @classmethod
    def table(cls, kind: str) -> tuple[str, ...]:
        """Return the place of the table in which an option `KIND.OPTION` stands."""
        return "options", kind


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
            table = settings
            for name in schema.table(kind):
                table[name] = dict(table.get(name, {}))
                table = table[name]
            table[option] = value
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

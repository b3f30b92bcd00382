"""Options of the command line that are settings: read off the fields of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from kernel.config import Settings, parse_option

SHARED = ("plugins", "without", "force_options", "seed", "device", "precision", "compile")
SHORT = {"plugins": "-p", "model": "-m", "count": "-n", "inputs": "-i"}

Command = Callable[..., None]

component_option = click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KIND.OPTION=VALUE",
    callback=lambda context, parameter, texts: dict(map(parse_option, texts)),
    help="A component's option, e.g. -o solver.predictor_order=2 (may be repeated).",
)
config_option = click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path),
    help="TOML file with any of these settings, e.g. -c night.toml.",
)


def given(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Split `a,b,c`; return None for an empty value, so that a file's setting stays."""
    if isinstance(value, str):
        return tuple(filter(None, map(str.strip, value.split(","))))
    return value or None


def repeatable(command: Command) -> Command:
    """Add `--from` and `--locked`."""
    command = click.option(
        "--locked",
        is_flag=True,
        help="Refuse when anything differs from --from DIR, or from the lock of -c FILE.",
    )(command)
    return click.option(
        "--from",
        "source",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Repeat the run or training in DIR; options given here come first.",
    )(command)


def configured(schema: type[Settings], *names: str) -> Callable[[Command], Command]:
    """Add an option for every shared setting and those of `names`, and -o and -c."""

    def add(command: Command) -> Command:
        for name in reversed((*SHARED, *names)):
            command = setting(schema, name)(command)
        return component_option(config_option(command))

    return add


def setting(schema: type[Settings], name: str) -> Callable[[Command], Command]:
    """Return the option of one setting, None where it is not given."""
    field = schema.model_fields[name]
    kind, flag = field.annotation, f"--{name.replace('_', '-')}"
    kinds = [each for each in get_args(kind) if each not in (type(None), ...)] or [kind]
    told: dict[str, Any] = {"type": click.Path(path_type=Path) if Path in kinds else kinds[0]}
    if kind is bool:
        told = {"default": None}
        flag += f"/--no-{flag[2:]}"
    elif get_origin(kind) is Literal:
        told["type"] = click.Choice(kinds)
    elif name == "plugins":
        told = {"metavar": "A,B,...", "callback": given}
    elif get_origin(kind) is tuple:
        told |= {"multiple": True, "callback": given}
        flag = flag.removesuffix("s")
    text = f"{field.description}."
    if kind is not bool and field.default not in (None, ()):
        text += f"  [default: {field.default}]"
    flags = [SHORT[name], flag] if name in SHORT else [flag]
    return click.option(*flags, name, **told, help=text[0].upper() + text[1:])

"""What `kernel run` and `kernel train` share on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def split(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Turn `a,b,c` into a tuple; None stays None."""
    if value is None:
        return None
    return tuple(name.strip() for name in value.split(",") if name.strip())


def given(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> Any:
    """Return None for an option that was not given, so that a file's setting stays."""
    return value or None


def shared(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every command with a configuration has."""
    for option in reversed(
        [
            click.option(
                "-p",
                "--plugins",
                metavar="A,B,...",
                callback=split,
                help="Components, each [KIND.]NAME[@DISTRIBUTION], e.g. edm,unipc or solver.heun.",
            ),
            click.option(
                "--without",
                multiple=True,
                metavar="KIND.NAME",
                callback=given,
                help="Leave a recommended plugin out, e.g. --without observer.page (repeatable).",
            ),
            click.option(
                "-o",
                "--option",
                "options",
                multiple=True,
                metavar="KIND.OPTION=VALUE",
                help="A component's option, e.g. -o solver.predictor_order=2 (may be repeated).",
            ),
            click.option(
                "-c",
                "--config",
                type=click.Path(path_type=Path),
                help="TOML file with any of these settings, e.g. -c night.toml.",
            ),
            click.option(
                "--force-options",
                is_flag=True,
                default=None,
                help="Take -o options that contradict those which the model was trained with.",
            ),
            click.option("--seed", type=int, help="Seed, e.g. --seed 7.  [default: 0]"),
            click.option(
                "--device",
                help="auto, cpu, cuda, cuda:1 or mps, e.g. --device cpu.  [default: auto]",
            ),
            click.option(
                "--precision",
                type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
                help="Of the network; auto is bfloat16 on CUDA, else float32.",
            ),
            click.option(
                "--compile/--no-compile", default=None, help="Compile the network (torch.compile)."
            ),
        ]
    ):
        command = option(command)
    return command

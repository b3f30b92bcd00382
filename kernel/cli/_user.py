"""The user's own preferences: one file for every command; only the command line reads it."""

from __future__ import annotations

import os
from pathlib import Path

from kernel._scan import distribution
from kernel.errors import InputError
from kernel.registry import Registry


def user_file() -> Path:
    """Return `kernel-audio/config.toml` in $XDG_CONFIG_HOME, by default in ~/.config."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "kernel-audio" / "config.toml"


def installed() -> Registry:
    """Return the installed plugins, with the user's preferences."""
    return Registry.scan(preferences())


def preferences() -> dict[str, str]:
    """Return `[prefer]` of the user's file, as far as the distributions are installed here.

    Raises InputError for a file that cannot be read or holds anything else.
    """
    file = user_file()
    try:
        text = file.read_text("utf-8")
        import tomllib

        given = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:  # bad TOML and bad UTF-8 too
        raise InputError(f"{file} cannot be read ({error}); mend it or remove it") from None
    prefer = given.pop("prefer", {})
    if given or not all(isinstance(each, str) for each in prefer.values()):
        raise InputError(
            f'{file} may hold the table [prefer] with lines "KIND.NAME" = "DISTRIBUTION", and '
            f"nothing else; write other settings to a file for -c"
        )
    return {name: owner for name, owner in prefer.items() if distribution(owner)}

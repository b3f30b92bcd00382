"""The checks of every component: its module and its options."""

from __future__ import annotations

import json
import subprocess
import sys

from pydantic import ValidationError

from kernel.errors import did_you_mean
from kernel_audio_testing._run import checks_for
from kernel_audio_testing._subject import Subject, Violation, require

__all__ = ["CHECKS"]

_IMPORT = """
import json, sys
sys.path[:] = dict.fromkeys(json.loads(sys.argv[1]) + sys.path)
import importlib
importlib.import_module(sys.argv[2])
print("\\nLOADED", "torch" in sys.modules)
"""


def check_light_import(subject: Subject) -> str | None:
    """Check that the module can be imported without importing torch."""
    arguments = [sys.executable, "-c", _IMPORT, json.dumps(sys.path), subject.info.target]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    target = subject.info.target
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    require("\nLOADED " in done.stdout, f"importing {target} in a new process fails: {last}")
    require(
        "\nLOADED False" in done.stdout,
        f"importing {target} imports torch; import it inside the methods, and types under "
        "TYPE_CHECKING",
    )
    return None


def check_documented(subject: Subject) -> str | None:
    """Check that the class has a docstring and every option a description."""
    component = subject.load()
    base = next(parent for parent in component.__mro__[1:] if "kernel.kinds." in parent.__module__)
    require(bool((component.__doc__ or "").strip()), f"{component.__name__} has no docstring")
    require(component.__doc__ != base.__doc__, f"{component.__name__} has no docstring of its own")
    silent = [name for name, field in component.model_fields.items() if not field.description]
    require(not silent, f"the option {', '.join(silent)} has no description")
    return None


def check_defaults(subject: Subject) -> str | None:
    """Check that the component can be made without options."""
    try:
        subject.load().model_validate({})
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        raise Violation(f"without options, {option!r} is refused: {first['msg']}") from None
    return None


def check_saved_options(subject: Subject) -> str | None:
    """Check that saved options can be read again, with and without those that are None."""
    component = subject.make()
    for exclude_none in (False, True):
        written = component.model_dump(mode="json", exclude_none=exclude_none)
        try:
            again = type(component).model_validate(json.loads(json.dumps(written)))
        except (ValidationError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise Violation(f"the options {written} cannot be read again: {reason}") from None
        require(again == component, f"the options {written} are read as {again}")
    return None


def check_unknown_option(subject: Subject) -> str | None:
    """Check that an option that does not exist is refused."""
    try:
        subject.load().model_validate({**subject.options, "no_such_option": 1})
    except ValidationError:
        return None
    raise Violation("an option called no_such_option is accepted and ignored")


def check_frozen(subject: Subject) -> str | None:
    """Check that a component cannot be changed once it is made."""
    component = subject.make()
    require(bool(component.model_config.get("frozen")), "its model_config is not frozen")
    require(bool(component == subject.make()), "two of them with the same options are not equal")
    return None


def check_words(subject: Subject) -> str | None:
    """Check that `needs` and `offers` are sets of words."""
    component = subject.make()
    facts = []
    for name in ("needs", "offers"):
        words = getattr(component, name)
        whole = isinstance(words, frozenset) and all(isinstance(w, str) and w for w in words)
        require(whole, f"{name} is {words!r}, not a frozenset of words")
        facts += [f"{name} {', '.join(sorted(words))}"] if words else []
    return "; ".join(facts)


def check_shortfalls(subject: Subject) -> str | None:
    """Check that `shortfalls` names checks of its kind, each with a reason."""
    checks = [check.name for check in checks_for(subject.info.kind) if check.name != "shortfalls"]
    for name, reason in sorted(subject.shortfalls.items()):
        require(
            name in checks,
            f"`shortfalls` names {name!r}, which is no check of the kind {subject.info.kind}"
            f"{did_you_mean(name, checks) or '; the checks are ' + ', '.join(checks)}",
        )
        require(bool(reason.strip()), f"`shortfalls` gives no reason for {name!r}")
    return None


CHECKS = (
    check_light_import,
    check_documented,
    check_defaults,
    check_saved_options,
    check_unknown_option,
    check_frozen,
    check_words,
    check_shortfalls,
)

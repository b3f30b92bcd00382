"""`--from` and `--locked`: doing again what was done, and refusing to do anything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kernel.errors import LockError, UsageError

if TYPE_CHECKING:
    from kernel.config import Settings
    from kernel.lock import Difference, Lock
    from kernel.repeat import Record
    from kernel.runner.plan import Plan

    SettingsT = TypeVar("SettingsT", bound=Settings)

__all__ = ["compared", "refuse", "relock", "repeatable", "settle", "snapshot"]


def repeatable(command: Callable[..., None]) -> Callable[..., None]:
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
        help="Do again what the record in DIR says; what is given beside it comes first.",
    )(command)


def settle(
    schema: type[SettingsT],
    config: Path | None,
    source: tuple[Path, Record] | None,
    values: Mapping[str, Any],
    options: Sequence[str],
) -> SettingsT:
    """Return the settings: those of a file or of a record, overlaid by the command line's.

    The user's own preferences come after those of the file.
    """
    from kernel.cli._user import preferences
    from kernel.config import load
    from kernel.registry import Registry
    from kernel.repeat import repeat

    own = preferences()
    if source is None:
        settings = load(schema, config, values, options)
        return settings.model_copy(update={"prefer": own | settings.prefer})
    folder, record = source
    if config is not None:
        raise UsageError(
            f"--from takes every setting from {folder}; leave -c out, or write what is to differ "
            f"behind --from"
        )
    plugins = values["plugins"] or ()
    base = repeat(record, folder, Registry.scan(own), plugins, values.get("model"))
    without = (*base.get("without", ()), *(values["without"] or ()))
    base = {"prefer": own, **base}
    return load(schema, base, {**values, "plugins": None, "without": without}, options)


def snapshot(plan: Plan, settings: Settings) -> Lock:
    """Return the lock of what would be done now."""
    from kernel.lock import Lock
    from kernel.repeat import Record
    from kernel.runner.libraries import check_pair

    check_pair()
    from kernel.runner.device import Machine

    return Lock.of(Record.model_validate(plan.facts(settings, Machine.choose(settings))))


def compared(
    plan: Plan,
    settings: Settings,
    config: Path | None,
    source: tuple[Path, Record] | None,
    locked: bool,
) -> Plan:
    """Return the plan with a note for everything that is not as recorded.

    With `locked`, print the differences and raise LockError instead.
    """
    import attrs

    from kernel.config import TrainConfig
    from kernel.lock import Lock, differences, lock_path, read_lock

    if locked and plan.drift:
        raise LockError(f"{'; '.join(plan.drift)}; leave --locked out, or install what it was")
    if source is not None:
        place, record = source
        lock, remedy = Lock.of(record), "leave --locked out to go on with what is here"
    elif not locked:
        return plan
    elif config is not None:
        remedy = relock(config, isinstance(settings, TrainConfig))
        place, lock = lock_path(config), read_lock(config, remedy)
    else:
        raise UsageError("--locked needs something to compare with: --from DIR, or -c FILE")
    found = differences(lock, snapshot(plan, settings))
    if locked:
        refuse(found, place, remedy)
    notes = (f"{each.what} was {each.recorded}, is {each.now}" for each in found if not each.chosen)
    return attrs.evolve(plan, notes=(*plan.notes, *notes))


def refuse(found: list[Difference], place: Path, remedy: str) -> None:
    """Print what differs from the record or lock in `place`, if anything, and raise LockError."""
    from kernel.cli.table import paragraph

    if not found:
        return
    for each in found:
        click.echo(paragraph(each.what), err=True)
        click.echo(f"    recorded  {each.recorded}\n    now       {each.now}", err=True)
    names = "; ".join(each.what for each in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    raise LockError(f"not everything is as in {place} ({names}{more}); {remedy}")


def relock(config: Path, train: bool) -> str:
    """Return what to type for a lock that is missing or out of date."""
    return f"`kernel lock {config}{' --train' if train else ''}` writes it anew"

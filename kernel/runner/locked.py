"""Whether what is about to be done is what was recorded: refused where it is locked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from kernel.config import Settings
from kernel.errors import Difference, InputError, LockError, UsageError
from kernel.lock import Lock, differences, lock_path, read_lock
from kernel.repeat import Record
from kernel.runner.libraries import check_pair
from kernel.runner.plan import Plan

if TYPE_CHECKING:
    from kernel.runner.processes import Processes

PlanT = TypeVar("PlanT", bound=Plan)

__all__ = ["check_alike", "compared", "refuse", "relock", "snapshot"]


def snapshot(plan: Plan, settings: Settings) -> Lock:
    """Return the lock of a plan on this machine."""
    check_pair()
    from kernel.runner.device import Machine

    return Lock.of(Record.model_validate(plan.facts(settings, Machine.choose(settings))))


def compared(
    plan: PlanT, settings: Settings, config: Path | None, before: Record | None, locked: bool
) -> PlanT:
    """Return the plan with a note for everything that is not as recorded.

    With `locked`, raise LockError instead, for what differs from the record, any earlier segment of
    it, or the lock of `config`; UsageError where there is neither.
    """
    if locked and plan.drift:
        raise LockError(f"{'; '.join(plan.drift)}; leave --locked out, or install what it was")
    if before is not None:
        place, lock = before.folder, Lock.of(before)
        remedy = "leave --locked out to go on with what is here"
    elif not locked:
        return plan
    elif config is not None:
        remedy = relock(config, settings.command)
        place, lock = lock_path(config), read_lock(config, remedy)
    else:
        raise UsageError("--locked needs something to compare with: --from DIR, or -c FILE")
    now = snapshot(plan, settings)
    found = differences(lock, now)
    for segment in before.segments if before else ():
        earlier = differences(Lock.of(segment), now)
        # On purpose what is gone on with may have had others before.
        going_on = settings.resumable and getattr(settings, "out", None) == place
        changed = settings.resumable | {"precision of the network"} if going_on else frozenset()
        found += [each for each in earlier if each not in found and each.what not in changed]
    if locked:
        refuse(found, place, remedy)
    notes = (f"{each.what} was {each.recorded}, is {each.now}" for each in found if not each.chosen)
    return attrs.evolve(plan, notes=(*plan.notes, *notes))


def refuse(found: list[Difference], place: Path, remedy: str) -> None:
    """Raise LockError with the differences from what is recorded in `place`, if there are any."""
    if not found:
        return
    names = "; ".join(each.what for each in found[:3])
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    raise LockError(f"not everything is as in {place} ({names}{more}); {remedy}", found)


def relock(config: Path, command: str) -> str:
    """Return what to type for a lock that is missing or out of date."""
    return f"`kernel lock {config}{f' --{command}' * (command != 'run')}` writes it anew"


def check_alike(record: dict[str, Any], processes: Processes) -> None:
    """Raise InputError in a process whose data, plugins or libraries are not those of the first.

    Every process has been here when one goes on.
    """
    if processes.count == 1:
        return
    first = Lock.of(Record.model_validate(json.loads(processes.told(lambda: json.dumps(record)))))
    for each in differences(first, Lock.of(Record.model_validate(record)))[:1]:
        raise InputError(
            f"process {processes.rank} differs from process 0 in {each.what}: {each.now} here, "
            f"{each.recorded} there; give all processes the same data, plugins and libraries"
        )
    processes.barrier()

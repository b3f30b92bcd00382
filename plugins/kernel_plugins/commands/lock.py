"""Write the exact components of a configuration into a lock file beside it."""

from __future__ import annotations

from pathlib import Path

import click

from kernel import Command, hookimpl

EPILOG = """\b
Examples:
  kernel lock night.toml
  kernel run -c night.toml --locked
  kernel lock night.toml --check

The lock holds version, content hash and options of every component and of the model, the versions
of kernel-audio and the libraries, the hashes of the input files, and the settings. It holds no
paths and no times.
"""


@click.command(epilog=EPILOG)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--train", is_flag=True, help="FILE is a configuration for `kernel train`.")
@click.option(
    "--check", is_flag=True, help="Write nothing; only report whether the lock is up to date."
)
def lock(file: Path, train: bool, check: bool) -> None:
    """Write the exact components of the configuration FILE into a lock beside it (.lock)."""
    from kernel.api import command_of, settled
    from kernel.cli import installed
    from kernel.config import RunConfig, Settings
    from kernel.lock import differences, lock_path, read_lock
    from kernel.record import write_json
    from kernel.runner.locked import refuse, relock, snapshot
    from kernel.runner.plan import Plan, plan_run

    path, registry = lock_path(file), installed()
    settings: Settings
    plan: Plan
    if train:
        settings, plan = command_of("train", registry).plan(file, registry)
    else:
        settings = settled(RunConfig, registry, file)
        plan = plan_run(settings, registry.preferring(settings.prefer))
    lock = snapshot(plan, settings)
    if check:
        remedy = relock(file, settings.command)
        refuse(differences(read_lock(file, remedy), lock), path, remedy)
        click.echo(f"{path} is up to date")
        return
    write_json(path, lock.model_dump(mode="json"))
    owners = {part.info.distribution for part in plan.assembly.parts}
    click.echo(
        f"{path} locks {len(plan.assembly.parts)} components of {', '.join(sorted(owners))}; "
        f"try: kernel {settings.command} -c {file} --locked"
    )


class LockCommand(Command):
    """Write or compare the lock of a configuration."""

    def build(self) -> click.Command:
        """Return the command for click."""
        return lock


@hookimpl
def command() -> type[Command]:
    """Offer `lock`."""
    return LockCommand

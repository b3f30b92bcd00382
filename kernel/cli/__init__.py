"""The `kernel` command: its own subcommands, and those that plugins offer, imported when called."""

from __future__ import annotations

import errno
import signal
import sys
from importlib import import_module
from signal import SIG_DFL
from typing import Any

import click

from kernel import __version__
from kernel.cli._user import installed
from kernel.errors import KernelError, LockError

__all__ = ["installed", "main"]

COMMANDS = {
    "run": "Generate audio with a trained model.",
    "plugins": "List the installed plugins, or explain one.",
    "models": "List the installed models, or explain one.",
}

EPILOG = """\b
Examples:
  kernel plugins
  kernel run --help

\b
Exit codes: 0 done, 1 a bug, 2 usage, 3 a broken plugin, 4 input, 5 output,
6 device, 7 not finite, 8 a check failed, 9 not as locked, 130 interrupted.
"""


class Kernel(click.Group):
    """Imports a subcommand from the module of its name, and gives every error one form."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the subcommands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand: of our own, or of a plugin."""
        if cmd_name.startswith("-"):
            return None
        if cmd_name not in COMMANDS:
            from kernel.cli._commands import find

            return find(installed(), cmd_name, COMMANDS)
        command: click.Command = import_module(f"kernel.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a table for us and one for each distribution, importing none of the commands."""
        from kernel.cli._commands import listing
        from kernel.registry import Registry

        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        for distribution, rows in listing(Registry.scan(), COMMANDS).items():
            with formatter.section(f"Commands of {distribution}"):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; end with a sentence and an exit code when it fails."""
        from kernel.cli._owner import warn_of_second_owner

        for name in ("SIGTERM", "SIGHUP"):
            # One that is ignored, as below nohup, stays ignored.
            if (number := getattr(signal, name, None)) and signal.getsignal(number) is SIG_DFL:
                signal.signal(number, signal.default_int_handler)
        try:
            warn_of_second_owner()
            return super().invoke(ctx)
        except KernelError as error:
            if isinstance(error, LockError):
                _tell(error)
            click.echo(f"kernel: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt as error:
            click.echo(f"kernel: interrupted {error}".rstrip(), err=True)
            ctx.exit(130)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EPIPE:
                raise
            sys.excepthook(type(error), error, error.__traceback__)
            click.echo(
                "kernel: this is a bug in kernel-audio or in a plugin that the lines above name; "
                "please report it with these lines and the command that you typed",
                err=True,
            )
            ctx.exit(1)


def _tell(error: LockError) -> None:
    from kernel.cli.table import paragraph

    for each in error.differences:
        click.echo(paragraph(each.what), err=True)
        click.echo(f"    recorded  {each.recorded}\n    now       {each.now}", err=True)


@click.command(cls=Kernel, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="kernel-audio")
def main() -> None:
    """Generate audio by diffusion, from parts that are plugins."""

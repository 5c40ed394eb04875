"""The command `engine`: loads the module of each command from `engine/commands/`, and exits with its code.

Exit codes, stable: 0 done or identical, 1 internal error or stopped by a signal, 2 usage or configuration,
3 replay diverged, 4 journal damaged or not usable, 5 venue, network, or no engine answers, 6 refused by a
safety rule, 7 a strategy failed, 8 not done in the time given.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from keyword import iskeyword
from typing import Final, NoReturn

import click

# Imported before the user's folder is on the path, so that a folder of the same name cannot replace them.
import adapters  # noqa: F401
import replay  # noqa: F401
from engine import stopping
from engine.config.secrets import refuse_keys
from engine.errors import EngineError, bug_in, error_in
from engine.events.render import printable
from engine.journal import Disk
from engine.loading.modules import own_modules

__all__ = ["cli", "main"]

_BUG_CHARACTERS_MAX: Final = 400

_COMMANDS = (
    "init",
    "config",
    "live",
    "status",
    "ctl",
    "dashboard",
    "replay",
    "backtest",
    "report",
    "sweep",
    "check",
    "import",
    "backfill",
    "bars",
    "inspect",
    "why",
    "project",
    "query",
    "journal",
    "mirror",
    "venues",
    "sandbox",
    "demo",
    "doctor",
)
"""The commands in the order of `engine --help`. Each has a module of its name in `engine/commands/`."""


class Octal(click.ParamType[int]):
    """Permission bits as `chmod` and `umask` write them."""

    name = "octal"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bits of a text such as 027."""
        text = str(value)
        if re.fullmatch(r"0?[0-7]{1,3}", text) is None:
            self.fail(f"{text[:20]!r} is not a mode such as 077 or 027", param, ctx)
        return int(text, 8)


class _Commands(click.Group):
    """Loads a command's module when it is called, so that `engine --help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        # A keyword cannot be the name of a module that is imported by a statement.
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        module = importlib.import_module(f"engine.commands.{name}")
        stopping.end_in_order()
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="retape", prog_name="engine")
@click.option(
    "--umask",
    type=Octal(),
    default="077",
    show_default=True,
    metavar="MODE",
    help="Permissions withheld from every file and folder that is written; 027 lets your group read them.",
)
def cli(umask: int) -> None:
    """A trading engine whose days re-derive bit for bit from their journal.

    \b
    engine demo                          a live session and its replay, in half a minute
    engine init mine                     writes a small project: config, strategy, test
    engine live                          paper trading on the embedded sandbox exchange
    engine status                        how it stands, from another terminal
    engine ctl halt                      no new risk; `engine ctl` lists all commands
    engine replay journal/2024-12-05     verifies a recorded day
    engine backtest DAY --strategy M:C   the same inputs, another strategy
    engine report DAY --out FILE.html    what recorded days earned, as a page
    engine sweep DAY --param fast=5:30:5 --out DIR    many backtests, the best first

    Exit codes: 0 done or identical, 1 internal error or stopped by a signal, 2 usage, 3 replay diverged,
    4 journal damaged or not usable, 5 venue, network, or no engine answers, 6 refused by a safety rule,
    7 a strategy failed, 8 not done in the time given.
    """
    os.umask(os.umask(umask) | umask)
    Disk.withheld = umask
    click.get_current_context().with_resource(own_modules())


def main() -> None:
    """Run the command line and exit with its code; errors are one or two lines on stderr."""
    try:
        _refuse_keys_in(sys.argv[1:])
        cli(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        _leave_stopped()
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except EngineError as error:
        _leave(error)
    except BrokenPipeError:
        # The reader of the output has closed the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (Exception, BaseExceptionGroup) as error:
        if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt) is not None:
            _leave_stopped()
        if os.environ.get("RETAPE_TRACEBACK"):
            raise
        if isinstance(error, BaseExceptionGroup) and (first := error_in(error)) is not None:
            _leave(first)
        bug = bug_in(error)
        click.echo(
            f"engine: internal error: {printable(f'{type(bug).__name__}: {bug}'[:_BUG_CHARACTERS_MAX])}\n"
            "this is a bug in the engine; run it again with RETAPE_TRACEBACK=1 for a report",
            err=True,
        )
        sys.exit(1)


def _refuse_keys_in(arguments: list[str]) -> None:
    """Raise ConfigError for a private key among the arguments, before anything shows or records them."""
    option = "the command line"
    for argument in arguments:
        option = argument.partition("=")[0] if argument.startswith("--") else option
        refuse_keys(argument, option)


def _leave_stopped() -> NoReturn:
    click.echo(stopping.STOPPED, err=True)
    sys.exit(1)


def _leave(error: EngineError) -> None:
    click.echo("\n".join(printable(line) for line in f"engine: {error}".split("\n")), err=True)
    sys.exit(error.exit_code)

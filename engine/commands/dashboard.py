"""`engine dashboard DAY...`: looks at recorded days with the page of a live session, at any moment."""

from __future__ import annotations

import signal
import sys
from functools import partial
from pathlib import Path

import click
import msgspec
import trio

from engine.api.recorded import RecordedServer
from engine.api.server import Dashboard
from engine.api.sockets import HOST_DEFAULT, PORT_DEFAULT
from engine.commands.output import json_option, print_json, progress
from engine.commands.serving import opened_dashboard, read_options
from engine.errors import UsageError
from engine.events.render import printable
from engine.loading.strategies import make_builder
from engine.records import day_folders
from engine.views.recorded import Recorded
from engine.views.shapes import MarkRow
from engine.views.units import ms

__all__ = ["dashboard_command"]


@click.command("dashboard")
@click.argument("days", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--bind",
    default=f"{HOST_DEFAULT}:{PORT_DEFAULT}",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the page is served; :0 picks a free port.",
)
@click.option(
    "--dashboard-name",
    "names",
    multiple=True,
    metavar="NAME",
    help="A further name under which browsers reach the page, such as that of a proxy.",
)
@click.option(
    "--dashboard-password",
    "password",
    metavar="file:PATH|env:NAME",
    help="Where the password of the page is; needed for any address but 127.0.0.1 and [::1].",
)
@click.option(
    "--verify",
    "verifies",
    is_flag=True,
    help="Replay the days meanwhile; a divergence becomes a mark on the time line.",
)
@json_option
def dashboard_command(
    days: tuple[Path, ...],
    bind: str,
    names: tuple[str, ...],
    password: str | None,
    verifies: bool,
    as_json: bool,
) -> None:
    """Look at recorded DAYS: prices, books, orders and signals as they were at any moment.

    DAYS are day folders of one journal, or a journal. Prints the address of the page with its one-time token
    and serves it until Ctrl-C. Nothing is written and no command is taken, so a page can be shown to others.
    """
    folders = day_folders(days)
    if not folders:
        raise UsageError(f"{days[0]}: holds no days; a day is a folder such as journal/2024-12-05")
    page = read_options(bind, names, password, read_only=True)
    builder = make_builder()

    def defaults(use: str) -> dict[str, object]:
        # Only the engine's own strategies: to look at a day runs no other code.
        return builder.defaults(use) if use.startswith("engine.") else {}

    recorded = Recorded(folders, defaults)
    with progress(f"reading {', '.join(folder.name for folder in folders[:3])}") as report_progress:
        recorded.index(report_progress)

    def announce(link: str) -> None:
        if as_json:
            print_json({"dashboard": link})
        else:
            click.echo(f"dashboard: {link}")

    with opened_dashboard(page, announce) as opened:
        assert opened is not None
        trio.run(_serve, recorded, opened, verifies)


async def _serve(recorded: Recorded, dashboard: Dashboard, verifies: bool) -> None:
    """Serve until a signal."""
    server = RecordedServer(recorded, dashboard, _report)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.run, partial(_verify, recorded) if verifies else _nothing)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                return


async def _nothing() -> None:
    """Do nothing beside."""


async def _verify(recorded: Recorded) -> None:
    """Replay the days, each in a process of its own, and mark where one differs from its record."""
    for folder in recorded.days:
        command = [sys.executable, "-m", "engine", "replay", str(folder), "--json"]
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode not in (0, 3):
            _report(f"{folder.name}: not verified: {done.stderr.decode(errors='replace').strip()[:300]}")
            continue
        report = msgspec.json.decode(done.stdout)
        if report["identical"]:
            _report(f"{folder.name}: identical")
            continue
        divergence = report["divergence"]
        seq, found = divergence["seq"], divergence["expected"] or divergence["actual"]
        recorded.marked(MarkRow(seq, ms(found["at_ns"]) if found else 0, "divergence", report["verdict"]))
        _report(f"{folder.name}: diverges at seq {seq}: {report['verdict']}")


def _report(line: str) -> None:
    click.echo(printable(line), err=True)

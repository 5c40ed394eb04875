"""`engine status`: how a running engine stands, on one screen. Asked over its socket."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from pathlib import Path
from typing import Any, Final

import click

from engine.commands.client import EngineClient, journal_option, shaped
from engine.commands.output import json_option, print_json
from engine.commands.screen import TerminalScreen, rendered, use_colors
from engine.commands.situation import PARTS, Situation, screen

__all__ = ["status_command"]

WATCH_S: Final = 1.0
PIPE_WIDTH: Final = 200


@click.command("status")
@journal_option
@click.option("--watch", is_flag=True, help="Refresh each second, until Ctrl-C.")
@json_option
def status_command(root: Path, watch: bool, as_json: bool) -> None:
    """Show how a running engine stands: armed or paper, halts, equity, positions, orders, feeds.

    \b
    engine status
    engine status --watch
    engine status --json

    Amounts of money are rounded. With --json all is exact: one object with the answers of the API (status,
    positions, orders, health, strategies). The exit code is 5 if no engine runs on the journal.
    """
    client = EngineClient(root)
    if not watch:
        _show(answers(client), as_json=as_json)
        return
    with contextlib.suppress(KeyboardInterrupt):
        _watch(client, as_json=as_json)


def answers(client: EngineClient) -> dict[str, Any]:
    """Return the answers that make a situation."""
    return {name: client.get(name) for name in PARTS}


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    picture = screen(shaped(found, Situation))
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else PIPE_WIDTH
    click.echo("\n".join(rendered(picture, width, colors=terminal and use_colors())))


def _watch(client: EngineClient, *, as_json: bool) -> None:
    """Show it again and again: in place on a terminal, one after the other in a pipe."""
    place = None if as_json or not sys.stdout.isatty() else TerminalScreen(sys.stdout.fileno(), screen)
    while True:
        found = answers(client)
        if place is None:
            _show(found, as_json=as_json)
        else:
            click.echo(place.draw([], shaped(found, Situation)), nl=False)
        sys.stdout.flush()
        time.sleep(WATCH_S)

"""`engine why`: the chain of causes behind one event."""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands.inspect import rendered
from engine.commands.output import json_option, print_json
from engine.events.render import Renderer
from engine.views.chain import chain_of

__all__ = ["why_command"]


@click.command("why")
@click.argument("day", type=click.Path(path_type=Path))
@click.argument("seq", type=int)
@json_option
def why_command(day: Path, seq: int, as_json: bool) -> None:
    """Show what led to event SEQ of DAY: the chain of causes, from the input that began it.

    Each event records its cause; the chain is read from the journal. The last line is SEQ.
    """
    chain = chain_of(day, seq)
    renderer = Renderer()
    wanted = chain[-1][0]
    for seen, record in rendered(renderer, day):
        if record[0] > wanted:
            break
        if record[0] == wanted:
            renderer = seen
    for record in chain:
        if as_json:
            print_json(renderer.as_json(*record))
        else:
            click.echo(renderer.as_text(*record))

"""`engine inspect DAY`: the events of a day."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from engine.clock import iso_text
from engine.commands.output import json_option, print_json, table
from engine.errors import UsageError
from engine.events import DayOpened, engine_time
from engine.events.codec import Record
from engine.events.render import Renderer, event_type
from engine.records import open_day, read_records

__all__ = ["inspect_command", "rendered"]


@click.command("inspect")
@click.argument("day", type=click.Path(path_type=Path))
@click.option(
    "--type", "types", multiple=True, metavar="NAME", help="Only events of this class; may be repeated."
)
@click.option("--from", "from_seq", type=int, default=0, metavar="SEQ", help="From this seq on.")
@click.option("--to", "to_seq", type=int, metavar="SEQ", help="Up to this seq.")
@click.option("--limit", type=click.IntRange(0), metavar="N", help="At most N events.")
@click.option("--summary", is_flag=True, help="Count events by type instead of listing them.")
@click.option("--raw", is_flag=True, help="Show records undecoded: for journals of another version.")
@json_option
def inspect_command(
    day: Path,
    types: tuple[str, ...],
    from_seq: int,
    to_seq: int | None,
    limit: int | None,
    summary: bool,
    raw: bool,
    as_json: bool,
) -> None:
    """List the events of DAY, one a line.

    With --json one object a line: seq, cause, type, at (UTC), at_ns, then the event's fields; prices and
    sizes as exact decimal text, instruments by name.
    """
    if raw:
        _print_raw(day, limit)
        return
    wanted = tuple(event_type(name) for name in types)
    records = (
        record
        for record in rendered(Renderer(), day)
        if record[1][0] >= from_seq and (not wanted or isinstance(record[1][2], wanted))
    )
    if to_seq is not None:
        records = itertools.takewhile(lambda record: record[1][0] <= to_seq, records)  # type: ignore[assignment]
    if summary:
        _print_summary(day, [record for _, record in records], as_json)
        return
    for renderer, record in itertools.islice(records, limit):
        if as_json:
            print_json(renderer.as_json(*record))
        else:
            click.echo(renderer.as_text(*record))


def rendered(renderer: Renderer, day: Path) -> Iterator[tuple[Renderer, Record]]:
    """Yield (renderer, record). The renderer knows all instruments listed so far."""
    for record in read_records(day):
        event = record[2]
        if isinstance(event, DayOpened):
            renderer.learn(event.instruments)
        renderer.see(event)
        yield renderer, record


def _print_summary(day: Path, records: list[Record], as_json: bool) -> None:
    if not records:
        raise UsageError(f"{day}: no such events")
    counts = Counter(type(event).__name__ for _, _, event in records)
    first, last = records[0], records[-1]
    if as_json:
        print_json(
            {
                "day": day.name,
                "first_seq": first[0],
                "last_seq": last[0],
                "events": len(records),
                "types": counts,
            }
        )
        return
    table(
        [
            ("seqs", f"{first[0]} to {last[0]}"),
            ("times", f"{iso_text(engine_time(first[2]))} to {iso_text(engine_time(last[2]))}"),
            *((name, f"{count:,}") for name, count in counts.most_common()),
        ]
    )


def _print_raw(day: Path, limit: int | None) -> None:
    """Print the msgpack content of records: works for event types that this version does not know."""
    shown = 0
    for frame in open_day(day):
        inputs = msgspec.msgpack.decode(frame.inputs)
        derived = msgspec.msgpack.decode(frame.derived) if frame.derived else []
        for what in (*inputs, *derived):
            if limit is not None and shown >= limit:
                return
            click.echo(f"{frame.first_seq:>12} {str(what)[:200]}")
            shown += 1

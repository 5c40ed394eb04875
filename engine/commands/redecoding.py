"""`engine replay DAY --from-raw`: compares raw messages, decoded with the current code, with the journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from adapters.transport.raw import RawReader, raw_folder
from engine.commands.output import print_json, table
from engine.errors import UsageError
from engine.events import DayOpened, InstrumentListed
from engine.events.codec import Record
from engine.events.render import Renderer
from engine.loading.venues import find_venue, venue_names
from engine.records import read_records
from engine.venue import RawDecoder, Venue
from replay.redecode import Mismatch, Redecoded, redecode

__all__ = ["Decoders", "compare_raw"]

_KINDS = {
    "differs": "decodes to something else",
    "missing": "is in no raw message",
    "extra": "is not in the journal",
}


def compare_raw(folder: Path, *, as_json: bool) -> None:
    """Compare the raw frames of a day with its journal, and print what differs. The exit code is then 3."""
    raw = raw_folder(folder.parent) / folder.name
    if not raw.is_dir():
        raise UsageError(f"{raw}: there are no raw frames of this day; `engine live --raw` records them")
    listings: list[tuple[int, InstrumentListed]] = []
    decoders = Decoders()
    found = redecode(_learned(folder, listings), RawReader(raw), decoders)
    at_seq = found.first.seq if found.first is not None else 0
    renderer = Renderer(listed for seq, listed in listings if seq <= at_seq or not at_seq)
    if decoders.venue is None:
        listed = ", ".join(sorted(decoders.seen))
        raise UsageError(f"no venue of this day ({listed}) can decode raw messages")
    if as_json:
        print_json({"same": found.same, **msgspec.to_builtins(_plain(found, renderer))})
    else:
        _print(folder, found, renderer)
    if not found.same:
        raise SystemExit(3)


class Decoders:
    """Finds the venue of a day that can decode its messages. `seen`: the venues of all instruments."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.venue: Venue | None = None

    def __call__(self, instruments: Sequence[InstrumentListed]) -> RawDecoder | None:
        """Return the decoder, None if no venue has one yet. Raises UsageError if two venues have one."""
        for name in sorted({one.venue for one in instruments} - self.seen):
            self.seen.add(name)
            venue = find_venue(name) if name in venue_names() else None
            if venue is not None and venue.has_raw:
                if self.venue is not None:
                    both = f"{self.venue.name} and {name}"
                    raise UsageError(
                        f"the day has instruments of {both}; raw messages can be of one venue only"
                    )
                self.venue = venue
        if self.venue is None:
            return None
        return self.venue.raw_decoder([one for one in instruments if one.venue == self.venue.name])


def _learned(folder: Path, listings: list[tuple[int, InstrumentListed]]) -> Iterator[Record]:
    """Yield the records of a day, and add its listings with the seqs from which they are in force."""
    for record in read_records(folder):
        seq, _, event = record
        if isinstance(event, InstrumentListed):
            listings.append((seq, event))
        elif isinstance(event, DayOpened):
            listings += [(seq, listed) for listed in event.instruments]
        yield record


def _plain(found: Redecoded, renderer: Renderer) -> dict[str, Any]:
    """Return the result for JSON, with events as in `engine inspect`."""
    plain: dict[str, Any] = {name: getattr(found, name) for name in found.__struct_fields__}
    if found.first is not None:
        first = found.first
        plain["first"] = {
            "kind": first.kind,
            "file": first.file,
            "number": first.number,
            "seq": first.seq,
            "recorded": first.recorded and renderer.as_json(first.seq, 0, first.recorded),
            "decoded": first.decoded and renderer.as_json(0, 0, first.decoded),
        }
    return plain


def _print(folder: Path, found: Redecoded, renderer: Renderer) -> None:
    click.echo(f"{folder}: {'the same' if found.same else 'decodes differently'}")
    counts = [
        ("messages", f"{found.frames:,}, {found.refused:,} of them cannot be decoded"),
        ("equal", f"{found.equal:,} events"),
        ("differing", f"{found.differing:,} decode to something else"),
        ("missing", f"{found.missing:,} are in no raw message"),
        ("extra", f"{found.extra:,} are not in the journal"),
        ("left out", f"{found.repeated:,} repeated or stale, {found.unconfirmed:,} while not connected"),
        (
            "not compared",
            f"{found.over_rest:,} read over HTTP, {found.uncovered:,} not covered by a file",
        ),
    ]
    table([(name, value) for name, value in counts])
    for note in found.notes:
        click.echo(f"  note      {note}")
    if found.books:
        click.echo(
            f"  books     {found.books:,} of the missing and extra events. A book that the feed keeps from"
        )
        click.echo("            changes is recorded ten times a second at most; at other moments it differs")
    if found.first is not None:
        _print_first(found.first, renderer)


def _print_first(first: Mismatch, renderer: Renderer) -> None:
    where = f"{first.file} message {first.number}" if first.file else f"seq {first.seq}"
    click.echo(f"  first     {where} {_KINDS[first.kind]}")
    for name, seq, event in (("recorded", first.seq, first.recorded), ("decoded", 0, first.decoded)):
        click.echo(f"  {name:9} {renderer.as_text(seq, 0, event) if event is not None else '(nothing)'}")

"""`engine replay DAY --from-raw`: compares raw messages, decoded with the current code, with the journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from adapters.transport.raw import RawReader, raw_folder, raw_venues
from engine.commands.output import print_json, table
from engine.errors import UsageError
from engine.events import DayOpened, InstrumentListed, MidsRead
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
    """Compare the raw frames of a day with its journal, and print what differs. The exit code is then 3.

    Those of each of several venues are compared with what their own feed recorded.
    """
    root = folder.parent
    recorded = [name for name in ("", *raw_venues(root)) if (raw_folder(root, name) / folder.name).is_dir()]
    if not recorded:
        raw = raw_folder(root) / folder.name
        raise UsageError(f"{raw}: there are no raw frames of this day; `engine live --raw` records them")
    results = {name: _compare_one(folder, name) for name in recorded}
    same = all(found.same for found, _ in results.values())
    if as_json:
        shown = {name: {"same": one[0].same, **_plain(*one)} for name, one in results.items()}
        print_json(shown[""] if recorded == [""] else {"same": same, "venues": shown})
    else:
        for name, (found, renderer) in results.items():
            _print(f"{folder} {name}".strip(), found, renderer)
    if not same:
        raise SystemExit(3)


def _compare_one(folder: Path, venue: str) -> tuple[Redecoded, Renderer]:
    """Compare the messages of one venue, "" for those of a session that had one. Raises UsageError."""
    listings: list[tuple[int, InstrumentListed]] = []
    decoders = Decoders(venue)
    raw = raw_folder(folder.parent, venue) / folder.name
    found = redecode(_learned(folder, listings, venue), RawReader(raw), decoders)
    at_seq = found.first.seq if found.first is not None else 0
    if decoders.venue is None:
        listed = ", ".join(sorted(decoders.seen))
        raise UsageError(f"no venue of this day ({listed}) can decode raw messages")
    return found, Renderer(listed for seq, listed in listings if seq <= at_seq or not at_seq)


class Decoders:
    """Finds the venue of a day that can decode its messages: `only` this one, if it is given.

    `seen`: the venues of all instruments.
    """

    def __init__(self, only: str = "") -> None:
        self.seen: set[str] = set()
        self.venue: Venue | None = None
        self._only = only

    def __call__(self, instruments: Sequence[InstrumentListed]) -> RawDecoder | None:
        """Return the decoder, None if no venue has one yet. Raises UsageError if two venues have one."""
        instruments = [one for one in instruments if self._only in ("", one.venue)]
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


def _learned(folder: Path, listings: list[tuple[int, InstrumentListed]], venue: str = "") -> Iterator[Record]:
    """Yield the records of a day, and add its listings with the seqs from which they are in force.

    With a venue, records of the feeds and instruments of others are left out.
    """
    others: set[int] = set()
    for record in read_records(folder):
        seq, _, event = record
        begun = [event] if isinstance(event, InstrumentListed) else []
        if isinstance(event, DayOpened):
            begun = list(event.instruments)
        listings += [(seq, listed) for listed in begun]
        others |= {one.instrument for one in begun if venue not in ("", one.venue)}
        numbers = getattr(event, "instruments", None) if isinstance(event, MidsRead) else None
        if others.isdisjoint(numbers or (getattr(event, "instrument", 0),)) and (
            venue in ("", getattr(event, "feed", venue))
        ):
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


def _print(title: str, found: Redecoded, renderer: Renderer) -> None:
    click.echo(f"{title}: {'the same' if found.same else 'decodes differently'}")
    counts = [
        ("messages", f"{found.frames:,}, {found.refused:,} of them cannot be decoded"),
        ("equal", f"{found.equal:,} events"),
        ("differing", f"{found.differing:,} decode to something else"),
        ("missing", f"{found.missing:,} are in no raw message"),
        ("extra", f"{found.extra:,} are not in the journal"),
        ("left out", f"{found.repeated:,} repeated or stale, {found.unconfirmed:,} while not connected"),
        ("thinned", f"{found.thinned:,} books that no rule asks to record: replaced at once, or unchanged"),
        (
            "not compared",
            f"{found.over_rest:,} read over HTTP, {found.uncovered:,} not covered by a file",
        ),
    ]
    table([(name, value) for name, value in counts])
    for note in found.notes:
        click.echo(f"  note      {note}")
    if found.books:
        click.echo(f"  books     {found.books:,} of the missing and extra events")
    if found.first is not None:
        _print_first(found.first, renderer)


def _print_first(first: Mismatch, renderer: Renderer) -> None:
    where = f"{first.file} message {first.number}" if first.file else f"seq {first.seq}"
    click.echo(f"  first     {where} {_KINDS[first.kind]}")
    for name, seq, event in (("recorded", first.seq, first.recorded), ("decoded", 0, first.decoded)):
        click.echo(f"  {name:9} {renderer.as_text(seq, 0, event) if event is not None else '(nothing)'}")

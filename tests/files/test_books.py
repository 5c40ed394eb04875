"""Books of files: rebuilt from every layout as a plain model does it, also where the data is damaged."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from adapters.files.books import GAP, HELD_MAX, LEVELS_MAX, Book, BookBuilder, Damages, Update
from engine.errors import ImportRefused, UsageError
from engine.events import BookRead, Event, FeedDamaged, FeedGap, InstrumentListed, Quote, Trade, engine_time
from engine.journal import list_days
from replay.joining import JoinedDays
from tests.profiles import examples

from .book_model import LAYOUTS, START_MS, UNKNOWN, Message, Shown, damaged, messages, shown
from .kit import Imports

MS = 1_000_000


def played(journal: Path) -> list[Event]:
    """The inputs that a backtest of a journal plays."""
    days = JoinedDays([day.path for day in list_days(journal)])
    return [event for batch in days.batches() for event in batch]


def steps(events: Sequence[Event], given: Sequence[Message]) -> list[Shown]:
    """What the book shows at the time of each message, in the model's steps."""
    listed = next(event for event in events if isinstance(event, InstrumentListed))
    books = [event for event in events if isinstance(event, BookRead)]
    found = []
    for ms in sorted({one.ms for one in given}):
        newest = [book for book in books if book.recv_ns <= ms * MS]
        found.append(
            tuple(of_side(side, listed) for side in (newest[-1].bids, newest[-1].asks)) if newest else UNKNOWN
        )
    return found  # type: ignore[return-value]


def of_side(levels: Sequence[tuple[int, int, int]], listed: InstrumentListed) -> list[tuple[int, int]]:
    found = []
    for price, size, _ in levels:
        steps = price * 4, size * 8
        assert not steps[0] % 10**listed.price_scale
        assert not steps[1] % 10**listed.size_scale
        found.append((steps[0] // 10**listed.price_scale, steps[1] // 10**listed.size_scale))
    return found


def expected(given: Sequence[Message], *, numbered: bool) -> list[Shown]:
    """What the model shows after the last message of each time."""
    after = {one.ms: book for one, book in zip(given, shown(given, numbered=numbered), strict=True)}
    return [after[ms] for ms in sorted(after)]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_book_of_every_layout_equals_the_plain_model_at_every_step(layout: str) -> None:
    name, write, numbered = LAYOUTS[layout]

    @examples(0.4)
    @given(messages())
    def check(given: list[Message]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            imports = Imports(Path(folder))
            report = imports.load(write(given), name=name)
            assert report.layout == layout.partition(" ")[0]
            events = played(imports.journal)
            assert steps(events, given) == expected(given, numbered=numbered)
            assert not any(isinstance(event, FeedDamaged) for event in events)

    check()


@pytest.mark.parametrize("layout", [name for name, (_, _, numbered) in LAYOUTS.items() if numbered][:3])
def test_damage_is_counted_and_played_as_an_unknown_book(layout: str) -> None:
    name, write, _ = LAYOUTS[layout]

    @examples(0.6)
    @given(damaged())
    def check(given: list[Message]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            imports = Imports(Path(folder))
            report = imports.load(write(given), name=name)
            events = played(imports.journal)
            assert steps(events, given) == expected(given, numbered=True)
            # Every time that the book becomes unknown is an event, and is in a note with its first place.
            lost = [event for event in events if isinstance(event, FeedDamaged)]
            assert bool(lost) == any(is_lost(given[: at + 1]) for at in range(len(given)))
            notes = " ".join(report.notes)
            assert bool(lost) == ("gapped: " in notes or "crossed: " in notes)
            assert ("first: line" in notes) >= bool(lost)

    check()


def is_lost(given: Sequence[Message]) -> bool:
    """Whether the book is unknown, not merely empty, after the last message."""
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    known, last = False, -1
    for one in given:
        if one.snapshot and not (known and one.seq <= last):
            bids, asks, known, last = dict(one.bids), dict(one.asks), True, one.seq
        elif known and not one.snapshot and one.seq > last + 1:
            known = False
        elif known and not one.snapshot and one.seq == last + 1:
            bids, asks, last = bids | one.bids, asks | one.asks, one.seq
    bids, asks = ({price: size for price, size in side.items() if size} for side in (bids, asks))
    return not known or bool(bids and asks and max(bids) >= min(asks))


ROWS = "timestamp,side,price,size,is_snapshot,seq\n"


def row(ms: int, side: str, price: str, size: str, seq: int, *, snapshot: bool = False) -> str:
    return f"{START_MS + ms},{side},{price},{size},{str(snapshot).lower()},{seq}\n"


def test_a_gap_and_a_crossed_book_are_reported_with_their_first_place(imports: Imports) -> None:
    text = ROWS + row(0, "bid", "10", "1", 1, snapshot=True) + row(0, "ask", "11", "1", 1, snapshot=True)
    text += row(1, "bid", "11", "1", 2)  # line 4
    text += row(2, "bid", "11", "0", 3)
    text += row(3, "bid", "9", "2", 6)  # line 6: 4 and 5 are missing
    text += row(4, "bid", "8", "2", 7)
    text += row(4, "bid", "8", "2", 3)
    text += row(5, "bid", "7", "1", 9, snapshot=True) + row(6, "ask", "12", "1", 10)
    report = imports.load(text)
    notes = [note for note in report.notes if "first: " in note]
    assert [note.partition(":")[0] for note in notes] == ["crossed", "gapped"]
    assert "first: line 4, 2024-01-30T00:00:00.001" in notes[0]
    assert "1 gaps" in notes[1]
    assert "first: line 6, 2024-01-30T00:00:00.003" in notes[1]
    events = [event for event in imports.events("2024-01-30") if not isinstance(event, InstrumentListed)]
    kinds = [
        (engine_time(event) // MS - START_MS, type(event).__name__, len(getattr(event, "bids", "")))
        for event in events
    ]
    assert kinds == [
        (0, "BookRead", 1),
        (1, "FeedDamaged", 0),
        (1, "BookRead", 0),
        (2, "BookRead", 1),
        (3, "FeedDamaged", 0),
        (3, "BookRead", 0),
        (5, "BookRead", 1),
        (6, "BookRead", 1),
    ]
    reasons = [event.reason for event in events if isinstance(event, FeedDamaged)]
    assert reasons[1] == "the book has a gap: an update that follows 5 came after 3"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (row(9, "bid", "10", "-1", 9), r"line 4: size '-1' .*negative|line 4: size .*-1"),
        (row(9, "bid", "-10", "1", 9), r"line 4: price .*-10"),
        (row(9, "bid", "0", "1", 9), "line 4: price is zero"),
        (row(9, "", "10", "1", 9), "line 4: side '': a level of a book has one"),
        (row(9, "bid", "10", "x", 9), "line 4: size 'x'"),
        (row(9, "bid", "10", "1", 9).replace("false", "maybe"), "line 4: snapshot 'maybe'"),
    ],
)
def test_a_level_that_cannot_be_is_refused_by_its_line(imports: Imports, bad: str, reason: str) -> None:
    text = ROWS + row(0, "bid", "10", "1", 1, snapshot=True) + row(0, "ask", "11", "1", 1, snapshot=True)
    with pytest.raises(ImportRefused, match=reason):
        imports.load(text + bad)
    assert imports.days() == []


def test_levels_beyond_the_depth_are_left_out_and_the_report_says_how_many_are_kept(imports: Imports) -> None:
    text = ROWS
    for at in range(30):
        text += row(0, "bid", str(100 - at), "1", 1, snapshot=True)
        text += row(0, "ask", str(101 + at), "1", 1, snapshot=True)
    text += row(1, "bid", "60", "5", 2)  # below what is kept: nothing to show
    text += row(2, "bid", "100", "0", 3)  # the level below comes up
    report = imports.load(text, depth=3)
    assert any("3 levels of each side are kept, of 31 at most" in note for note in report.notes)
    books = [event for event in imports.events("2024-01-30") if isinstance(event, BookRead)]
    assert [[price for price, _, _ in book.bids] for book in books] == [[100, 99, 98], [99, 98, 97]]
    with pytest.raises(UsageError, match="a book of 0 levels"):
        imports.load(text, depth=0)


def test_a_broken_book_is_bounded() -> None:
    """Levels that are never removed, and updates without a snapshot, take no more than a bound."""
    damages = Damages()
    book = Book()
    left_out = book.change(((price, 1) for price in range(1, LEVELS_MAX + 11)), ())
    assert (left_out, len(book.sizes[0]), min(book.sizes[0])) == (10, LEVELS_MAX, 11)
    builder = BookBuilder(1, damages, lambda: "line 1")
    for seq in range(HELD_MAX + 500):
        builder.update(seq, Update([(1, 1)], [], seq - 1, seq))
    assert len(builder._held) == HELD_MAX
    assert not list(builder.show(1, 1))
    builder.snapshot(2, [(5, 5)], [], last=HELD_MAX)
    assert [event.bids for event in builder.show(2, 2) if isinstance(event, BookRead)] == [
        ((5, 5, 0), (1, 1, 0))
    ]
    builder.update(3, Update([], [(9, 1)], HELD_MAX + 600, HELD_MAX + 601))
    assert damages.counts[GAP] == 1


def test_a_side_that_was_cut_at_a_limit_is_not_shown_beyond_it() -> None:
    """A snapshot of five levels says nothing of the sixth: an update below it is not the next best."""
    builder = BookBuilder(1, Damages(), lambda: "line 1")
    builder.snapshot(1, [(price, 1) for price in range(96, 101)], [(101, 1)], last=1, limits=(5,))
    builder.update(2, Update([(90, 1), (100, 0)], [(120, 4)], 1, 2))
    (book,) = (event for event in builder.show(2, 2) if isinstance(event, BookRead))
    assert [price for price, _, _ in book.bids] == [99, 98, 97, 96]
    assert [price for price, _, _ in book.asks] == [101, 120]


# Recorded data.


def first_lines(path: Path, folder: Path, count: int) -> Path:
    cut = folder / path.name.removesuffix(".gz")
    with gzip.open(path, "rt", encoding="utf-8") as text:
        cut.write_text("".join(islice(text, count)), "utf-8")
    return cut


def test_recorded_books_of_hyperliquid_are_those_of_the_frames(
    imports: Imports, recorded: Callable[[str], Path]
) -> None:
    import json

    path = recorded("frames/hyperliquid-BTC-20250126.jsonl.gz")
    report = imports.load_all([path], venue="hyperliquid")
    assert (report.trades, report.duplicates) == (35, 0)
    assert any("29 trades that are older than the recording" in note for note in report.notes)
    with gzip.open(path, "rt", encoding="utf-8") as text:
        frames = [(int(ns), json.loads(body)) for ns, body in (line.split(" ", 1) for line in text)]
    sent = [(ns, frame["data"]) for ns, frame in frames if frame["channel"] == "l2Book"]
    events = imports.events("2025-01-26")
    listed = next(event for event in events if isinstance(event, InstrumentListed))
    found: list[Any] = [event for event in events if isinstance(event, BookRead)]
    assert len(found) == len(sent) == 46
    for book, (recv_ns, data) in zip(found, sent, strict=True):
        assert (book.recv_ns, book.venue_ns) == (recv_ns, data["time"] * MS)
        for side, levels in zip((book.bids, book.asks), data["levels"], strict=True):
            plain = [
                (
                    round(float(level["px"]) * 10**listed.price_scale),
                    round(float(level["sz"]) * 10**listed.size_scale),
                    level["n"],
                )
                for level in levels
            ]
            assert list(side) == plain
    trades = [event for event in events if isinstance(event, Trade)]
    assert all(trade.recv_ns > trade.venue_ns for trade in trades)


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_rebuilt_books_of_binance_have_the_recorded_best_prices(
    imports: Imports, recorded: Callable[[str], Path], market: str
) -> None:
    """Where a book ticker has the number of the last change of an update, both show one best bid and ask."""
    import json

    whole = recorded(f"frames/binance-{market}-btcusdt-20240808.gz")
    path = first_lines(whole, imports.folder, 6000)
    report = imports.load_all([path], venue=f"binance-{market}")
    assert any("behind the venue's" in note for note in report.notes)
    assert not any("gapped" in note or "crossed" in note for note in report.notes)
    events = imports.events("2024-08-08")
    assert not any(isinstance(event, FeedDamaged | FeedGap) for event in events)
    assert all(
        event.recv_ns >= event.venue_ns for event in events if isinstance(event, Trade | Quote | BookRead)
    )
    tickers: dict[int, tuple[float, ...]] = {}
    updates: list[tuple[int, int]] = []
    first_ns = 0
    for line in path.read_text("utf-8").splitlines():
        ns, _, body = line.partition(" ")
        data = json.loads(body).get("data", {})
        if "bookTicker" in line:
            first_ns = first_ns or int(ns)
            tickers[data["u"]] = tuple(float(data[name]) for name in ("b", "B", "a", "A"))
        elif data.get("e") == "depthUpdate":
            updates.append((int(ns), data["u"]))
    listed = next(event for event in events if isinstance(event, InstrumentListed))
    behind_ns = next(event.recv_ns for event in events if isinstance(event, Quote)) - first_ns
    books = {event.recv_ns - behind_ns: event for event in events if isinstance(event, BookRead)}
    compared = 0
    for ns, last in updates:
        book = books.get(ns)
        if book is not None and last in tickers and len(book.bids) == 20:
            best = (*book.bids[0][:2], *book.asks[0][:2])
            scales = (10**listed.price_scale, 10**listed.size_scale) * 2
            assert tuple(round(one * scale) for one, scale in zip(tickers[last], scales, strict=True)) == best
            compared += 1
    assert compared > 20

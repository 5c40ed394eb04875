"""Order books from snapshots and diffs: against a plain model, by each sequence rule, and their requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from adapters.transport import levels
from adapters.transport.books import Books
from adapters.transport.context import FeedContext
from adapters.transport.governor import Governor, Limits, Rate
from adapters.transport.health import FeedHealth, FeedLimits
from adapters.transport.levels import Level, OrderBook
from adapters.transport.sequence import CHAINED, CONTIGUOUS, UNNUMBERED, Diff, Snapshot
from adapters.transport.synced import SyncedBook
from engine.errors import VenueProtocolError
from engine.events import BookRead, InstrumentListed
from tests.hyperliquid.venue import TrioClock
from tests.profiles import examples

LISTED = InstrumentListed(0, 1, "toy", "A", 2, 2)
OTHER = InstrumentListed(0, 2, "toy", "B", 2, 2)
MS = 1_000_000

_prices = st.integers(1, 40)
_levels = st.lists(st.tuples(_prices, st.integers(0, 9)), max_size=8).map(tuple)


def _model_top(sides: tuple[dict[int, int], dict[int, int]], count: int) -> tuple[Any, Any]:
    bids, asks = sides
    return (
        tuple((price, bids[price], 0) for price in sorted(bids, reverse=True)[:count]),
        tuple((price, asks[price], 0) for price in sorted(asks)[:count]),
    )


@examples(2)
@given(st.lists(st.tuples(st.booleans(), _levels, _levels), max_size=12), st.sampled_from([0, 3]))
def test_a_book_equals_a_plain_dictionary_of_levels(
    steps: list[tuple[bool, tuple[Level, ...], tuple[Level, ...]]], depth: int
) -> None:
    book = OrderBook(depth)
    model: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for replaces, bids, asks in steps:
        (book.replace if replaces else book.apply)(bids, asks)
        for side, changes, best_first in ((model[0], bids, True), (model[1], asks, False)):
            if replaces:
                side.clear()
            side.update(changes)
            for price in [price for price, size in side.items() if not size]:
                del side[price]
            for price in sorted(side, reverse=best_first)[depth or 99 :]:
                del side[price]
        for count in (1, 3, 99):
            assert book.top(count) == _model_top(model, count)
        assert len(book) == len(model[0]) + len(model[1])
        both = model[0] and model[1]
        assert book.crossed == bool(both and max(model[0]) >= min(model[1]))


def test_levels_behind_the_edge_of_a_snapshot_are_unknown() -> None:
    book = OrderBook()
    book.replace([(10, 1), (9, 1), (8, 1)], [(11, 1), (12, 1), (13, 1)], whole=False)
    assert book.knows(3)
    assert not book.knows(4)
    book.apply([(7, 5), (10, 0)], [])  # 7 is behind the edge: whatever lies between 8 and 7 is unknown
    assert book.top(3)[0] == ((9, 1, 0), (8, 1, 0))
    assert book.knows(2)
    assert not book.knows(3)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "LEVELS_KEPT", 10)
    book = OrderBook()
    for price in range(1, 1000):
        book.apply([(price, 1)], [(2000 - price, 1)])
        assert len(book) <= 20
    assert book.top(2) == (((999, 1, 0), (998, 1, 0)), ((1001, 1, 0), (1002, 1, 0)))
    assert book.knows(5)
    assert not book.knows(11)  # the worst were forgotten


# ---- in step or not, by the rule of the venue


class Exchange:
    """A plain book whose every change is numbered; makes diffs as a venue numbers them."""

    def __init__(self, changes: list[tuple[int, int]], start: int, per_diff: int, skip: int) -> None:
        self.at = start
        self.states: dict[int, dict[int, int]] = {start: {1: 1}}
        self.diffs: list[Diff] = []
        for begin in range(0, len(changes), per_diff):
            before = self.at
            first = before + 1 + skip  # numbers of a chain may be left out
            state = dict(self.states[before])
            self.at = first - 1
            for price, size in changes[begin : begin + per_diff]:
                self.at += 1
                state[price] = size
                self.states[self.at] = {p: s for p, s in state.items() if s}
            part = tuple(changes[begin : begin + per_diff])
            self.diffs.append(Diff(first, self.at, part, (), self.at * MS, before if skip else None))

    def snapshot(self, at: int) -> Snapshot:
        at = max(one for one in self.states if one <= at)
        return Snapshot(at, tuple(self.states[at].items()), ())


@examples(3)
@given(
    st.lists(st.tuples(_prices, st.integers(0, 9)), min_size=1, max_size=30),
    st.integers(1, 4),
    st.sampled_from([0, 3]),
    st.integers(0, 60),
    st.integers(0, 30),
    st.none() | st.integers(0, 29),
)
def test_a_pulled_book_is_the_venues_or_out_of_step(
    changes: list[tuple[int, int]], per_diff: int, skip: int, taken_at: int, arrives: int, lost: int | None
) -> None:
    """Whenever the snapshot was taken and came, and whichever diff is lost: a read book is right."""
    venue = Exchange(changes, 100, per_diff, skip)
    book = SyncedBook(LISTED, CHAINED if skip else CONTIGUOUS, pulled=True, every_ms=0, levels=99)
    reasons = []
    snapshot = venue.snapshot(100 + taken_at)
    for place, diff in enumerate(venue.diffs):
        if place == arrives:
            reasons.append(book.take_snapshot(snapshot))
        if place != lost:
            reasons.append(book.take_diff(diff))
        read = book.read(place * MS)
        if read is not None:
            # What a lost diff hides shows with the next one.
            known = diff.last if place != lost else diff.first - 1 - skip
            assert {price: size for price, size, _ in read.bids} == venue.states[known]
            assert read.venue_ns == known * MS
        assert read is None or book.state == "good"
    needed = [one for one in range(len(venue.diffs)) if venue.diffs[one].last > snapshot.last]
    if lost is None or lost not in needed:
        joined = arrives < len(venue.diffs) and (not needed or arrives <= needed[-1])
        if joined and needed:
            assert not any(reasons)
            assert book.state == "good"
    elif lost < len(venue.diffs) - 1 and arrives < len(venue.diffs):
        assert any(reasons), "a lost diff was not noticed"


def test_a_pulled_book_drops_what_the_snapshot_holds_and_joins_the_rest() -> None:
    book = SyncedBook(LISTED, CONTIGUOUS, pulled=True)
    for first in (8, 9, 11):
        assert book.take_diff(Diff(first, first + (first == 9), ((first, 5),), (), first)) == ""
    assert book.read(1) is None
    assert book.take_snapshot(Snapshot(9, ((2, 2),), ((50, 1),))) == ""
    assert book.state == "good"
    assert book.read(500 * MS) == BookRead(500 * MS, 11, 1, ((11, 5, 0), (9, 5, 0), (2, 2, 0)), ((50, 1, 0),))


def test_a_snapshot_older_than_the_diffs_is_refused_and_the_diffs_kept_for_the_next() -> None:
    book = SyncedBook(LISTED, CONTIGUOUS, pulled=True)
    book.take_diff(Diff(20, 21, ((3, 1),), (), 1))
    assert book.take_snapshot(Snapshot(15, (), ())) == "the snapshot 15 is older than the update 20"
    assert book.waits
    assert book.take_snapshot(Snapshot(20, ((1, 1),), ())) == ""
    assert book.state == "good"


def test_a_chain_is_followed_by_its_links_and_not_by_its_numbers() -> None:
    book = SyncedBook(LISTED, CHAINED, pulled=True)
    assert book.take_snapshot(Snapshot(100, ((1, 1),), ())) == ""
    assert book.take_diff(Diff(90, 99, (), (), 1, 80)) == ""
    assert book.state == "syncing"
    assert book.take_diff(Diff(95, 120, (), (), 1, 99)) == ""
    assert book.take_diff(Diff(150, 160, (), (), 2, 120)) == ""
    assert book.state == "good"
    assert book.take_diff(Diff(161, 170, (), (), 3, 159)) == "updates between 160 and 159 are missing"
    assert book.state == "syncing"


def test_a_crossed_book_is_out_of_step_unless_the_venue_itself_shows_it() -> None:
    book = SyncedBook(LISTED, UNNUMBERED, pulled=False)
    book.take_snapshot(Snapshot(0, ((5, 1),), ((6, 1),)))
    assert book.take_diff(Diff(0, 0, ((6, 1),), (), 1)) == "the best bid is not below the best ask"
    book.take_snapshot(Snapshot(0, ((7, 1),), ((6, 1),)))
    assert book.take_diff(Diff(0, 0, ((7, 2),), (), 1)) == ""
    assert book.read(1) is not None


def test_a_checksum_that_fails_breaks_the_book_and_one_that_never_matched_leaves_it_unverified() -> None:
    def matches(book: OrderBook, check: object) -> bool:
        return check == book.top(1)[0][0][0]

    snapshot = Snapshot(0, ((5, 1),), (), check=5)
    good = SyncedBook(LISTED, UNNUMBERED, pulled=False, verify=matches)
    good.take_snapshot(snapshot)
    for _ in range(5):  # it matched once: every failure breaks it
        assert "checksum" in good.take_diff(Diff(0, 0, ((6, 1),), (), 1, check=9))
        assert good.state == "syncing"
        assert good.take_snapshot(snapshot) == ""
        assert good.state == "good"

    never = SyncedBook(LISTED, UNNUMBERED, pulled=False, verify=matches)
    wrong = Snapshot(0, ((5, 1),), (), check=9)
    assert "failure 1 in a row" in never.take_snapshot(wrong)
    assert "failure 2 in a row" in never.take_snapshot(wrong)
    assert never.take_notice() == ""
    assert never.take_snapshot(wrong) == ""
    assert never.state == "unverified"
    assert never.take_notice() == "the checksum never matched in 3 tries; the book is used unverified"
    assert never.take_notice() == ""
    assert never.read(1) is not None
    assert never.take_diff(Diff(0, 0, ((4, 1),), (), 1, check=5)) == ""
    assert (never.state, never.take_notice()) == ("good", "the checksum matches now; the book is verified")


def test_a_book_is_read_when_it_changed_and_at_most_every_100_ms() -> None:
    book = SyncedBook(LISTED, UNNUMBERED, pulled=False, levels=1)
    book.take_snapshot(Snapshot(0, ((5, 1),), ((6, 1),)))
    assert book.read(1000 * MS) is not None
    book.take_diff(Diff(0, 0, ((5, 2),), (), 1))
    assert book.read(1099 * MS) is None
    assert book.read(1100 * MS) is not None
    assert book.read(1300 * MS) is None  # nothing changed
    book.take_diff(Diff(0, 0, ((3, 2),), (), 1))
    assert book.read(1400 * MS) is None  # the best level did not change
    book.take_diff(Diff(0, 0, ((5, 3),), (), 1))
    book.lose("")
    assert book.read(1500 * MS) is None
    book.take_snapshot(Snapshot(0, ((5, 3),), ((6, 1),)))
    assert book.read(500 * MS) is not None  # the clock was set back


def test_which_states_are_read_does_not_depend_on_when_it_is_asked() -> None:
    """A change that was not due is read as of then, before the next diff, and counts from when it was due."""
    reads = []
    for asked in (True, False):
        book = SyncedBook(LISTED, UNNUMBERED, pulled=False, levels=1)
        book.take_snapshot(Snapshot(0, ((5, 1),), ()))
        found = [book.read(1000 * MS)]
        for at, size in ((1050, 2), (1170, 3), (1270, 4), (1350, 5)):
            found.append(book.read(at * MS, waited=True))
            book.take_diff(Diff(0, 0, ((5, size),), (), at))
            found.append(book.read(at * MS))
            if asked:
                found.append(book.read((at + 70) * MS, waited=True))
        found.append(book.read(2000 * MS, waited=True))
        reads.append([(one.venue_ns, one.bids[0][1]) for one in found if one is not None])
    assert reads[0] == reads[1] == [(0, 1), (1050, 2), (1170, 3), (1270, 4), (1350, 5)]


def test_a_newer_snapshot_waits_for_the_diffs_that_it_holds() -> None:
    book = SyncedBook(LISTED, CONTIGUOUS, pulled=True, every_ms=0)
    book.take_diff(Diff(11, 11, ((4, 1),), (), 1))
    book.take_snapshot(Snapshot(10, ((5, 1),), (), whole=False))
    assert book.thin
    book.refresh()
    book.take_diff(Diff(12, 12, ((5, 2),), (), 2))
    book.take_snapshot(Snapshot(13, ((5, 2), (4, 1), (3, 1)), ()))  # it has update 13, which is still to come
    assert book.read(1).bids == ((5, 2, 0),)  # type: ignore[union-attr]
    book.take_diff(Diff(13, 14, ((5, 7),), (), 3))
    assert book.read(2).bids == ((5, 7, 0), (4, 1, 0), (3, 1, 0))  # type: ignore[union-attr]
    assert not book.thin


# ---- requests for snapshots


class Venue:
    """Answers requests for snapshots, and keeps what the books emit."""

    def __init__(self, pulled: bool, answer: Callable[[], Snapshot | None]) -> None:
        self.asked: list[tuple[str, float]] = []
        self.reads: list[BookRead] = []
        self.notes: list[tuple[int, str]] = []
        self.answer = answer
        limits = Limits(Rate(100), Rate(5, per_s=1), Rate(300, per_s=300), 10, 100, 10)
        clock = TrioClock()
        context = FeedContext(
            *(clock, lambda: 0.5, FeedLimits(), FeedHealth(), Governor(limits), "toy"),
            print,
            trio.lowlevel.checkpoint,
        )
        books = [SyncedBook(listed, CONTIGUOUS, pulled=pulled) for listed in (LISTED, OTHER)]
        self.books = Books(context, "depth", books, self.ask, self.reads.append, self.note)

    async def ask(self, listed: InstrumentListed) -> Snapshot | None:
        self.asked.append((listed.name, trio.current_time()))
        return self.answer()

    def note(self, channel: str, instrument: int, reason: str) -> None:
        self.notes.append((instrument, reason))


async def test_a_gap_is_reported_and_a_new_snapshot_read_and_no_other_book_is_touched(
    nursery: Any, autojump_clock: Any
) -> None:
    venue = Venue(True, lambda: Snapshot(10, ((1, 1),), ()))
    nursery.start_soon(venue.books.run)
    for number in (1, 2):
        venue.books.take_diff(number, Diff(9, 11, ((2, 1),), (), 5), 0)
    await trio.sleep(0.3)
    assert sorted(name for name, _ in venue.asked) == ["A", "B"]
    assert sorted(read.instrument for read in venue.reads) == [1, 2]
    venue.answer = lambda: Snapshot(30, ((1, 1),), ())
    await trio.sleep(20)
    venue.books.take_diff(1, Diff(29, 31, ((3, 1),), (), 6), 0)
    await trio.sleep(0.3)
    assert venue.notes == [(1, "updates between 11 and 29 are missing; a new snapshot is asked for")]
    assert len(venue.asked) == 3
    assert [(read.instrument, read.bids) for read in venue.reads[2:]] == [(1, ((3, 1, 0), (1, 1, 0)))]
    assert str(venue.books) == "2 good, broken 1 times"
    nursery.cancel_scope.cancel()


async def test_a_book_that_was_due_before_a_newer_snapshot_came_is_read(autojump_clock: Any) -> None:
    venue = Venue(False, lambda: None)
    venue.books.take_snapshot(1, Snapshot(10, ((1, 1),), ()), 0)
    for at, size in ((11, 2), (12, 3)):
        venue.books.take_diff(1, Diff(at, at, ((1, size),), (), 0), (at + 40) * MS)
    venue.books.take_snapshot(1, Snapshot(20, ((1, 4),), ()), 180 * MS)
    venue.books.take_snapshot(1, Snapshot(30, ((1, 5),), ()), 220 * MS)
    assert [(read.recv_ns // MS, read.bids[0][1]) for read in venue.reads] == [(0, 1), (180, 3), (220, 4)]


async def test_a_book_that_breaks_again_and_again_is_asked_for_less_often(
    nursery: Any, autojump_clock: Any
) -> None:
    venue = Venue(True, lambda: Snapshot(10, (), ()))  # always older than the diffs
    nursery.start_soon(venue.books.run)
    venue.books.take_diff(1, Diff(20, 21, (), (), 5), 0)
    await trio.sleep(600)
    waits = [round(after[1] - before[1]) for before, after in zip(venue.asked, venue.asked[1:], strict=False)]
    assert waits[:7] == [1, 2, 4, 8, 16, 32, 60]
    assert set(waits[7:]) == {60}
    nursery.cancel_scope.cancel()


async def test_a_snapshot_that_cannot_be_read_is_reported_and_asked_for_again(
    nursery: Any, autojump_clock: Any
) -> None:
    def fail() -> Snapshot:
        raise VenueProtocolError("no body")

    venue = Venue(True, fail)
    nursery.start_soon(venue.books.run)
    venue.books.take_diff(1, Diff(20, 21, (), (), 5), 0)
    await trio.sleep(0.5)
    assert venue.notes == [(1, "its snapshot cannot be read: no body")]
    venue.answer = lambda: Snapshot(20, ((1, 1),), ())
    await trio.sleep(2)
    assert [read.instrument for read in venue.reads] == [1]
    nursery.cancel_scope.cancel()


async def test_a_pushed_snapshot_that_does_not_come_is_subscribed_to_again(
    nursery: Any, autojump_clock: Any
) -> None:
    venue = Venue(False, lambda: None)
    nursery.start_soon(venue.books.run)
    venue.books.expect([LISTED, OTHER])
    venue.books.take_snapshot(2, Snapshot(1, ((1, 1),), ()), 0)
    venue.books.take_diff(1, Diff(1, 2, (), (), 1), 0)  # without a snapshot it means nothing
    await trio.sleep(11)
    assert [name for name, _ in venue.asked] == ["A"]
    venue.books.take_snapshot(1, Snapshot(1, ((1, 1),), ()), 0)
    await trio.sleep(100)
    assert len(venue.asked) == 1
    venue.books.lose([OTHER], "the connection missed message 7")
    await trio.sleep(1)
    assert [name for name, _ in venue.asked] == ["A", "B"]
    assert venue.notes == [(2, "the connection missed message 7; a new snapshot is asked for")]
    nursery.cancel_scope.cancel()


async def test_a_lost_connection_leaves_its_books_out_of_step_without_a_report(autojump_clock: Any) -> None:
    venue = Venue(True, lambda: None)
    venue.books.take_diff(1, Diff(9, 11, ((2, 1),), (), 5), 0)
    venue.books.take_snapshot(1, Snapshot(10, ((1, 1),), ()), 0)
    venue.books.lose([LISTED])
    venue.books.take_diff(1, Diff(12, 12, ((2, 1),), (), 5), 10**9)
    assert len(venue.reads) == 1
    assert not venue.notes


def _moving_market(steps: int) -> tuple[list[tuple[dict[int, int], dict[int, int]]], list[Diff]]:
    """A market that rises by one each step, with 200 levels a side, and the diffs of a contiguous venue."""
    states, diffs = [], []
    for at in range(steps + 1):
        mid = 1000 + at
        bids = {price: price % 7 + 1 for price in range(mid - 200, mid)}
        asks = {price: price % 5 + 1 for price in range(mid + 1, mid + 201)}
        if states:
            old = states[-1]
            both = [
                [(one, after.get(one, 0)) for one in {**before, **after} if before.get(one) != after.get(one)]
                for before, after in zip(old, (bids, asks), strict=True)
            ]
            # What rests far from the middle is not touched: only a snapshot shows it.
            both[1] = [(price, size) for price, size in both[1] if price <= mid]
            diffs.append(Diff(100 + at, 100 + at, both[0], both[1], at))
        states.append((bids, asks))
    return states, diffs


async def test_a_book_gets_a_newer_snapshot_before_the_market_leaves_the_last_one(
    nursery: Any, autojump_clock: Any
) -> None:
    """The snapshot shows 100 levels of 200: without another one, the asks would run out."""
    states, diffs = _moving_market(150)
    place = 0

    def answer() -> Snapshot:
        bids, asks = states[place]
        near = sorted(bids.items(), reverse=True)[:100], sorted(asks.items())[:100]
        return Snapshot(100 + place, *near, whole=False)

    venue = Venue(True, answer)
    nursery.start_soon(venue.books.run)
    for place, diff in enumerate(diffs, start=1):
        venue.books.take_diff(1, diff, place * 1000 * MS)
        await trio.sleep(1)
    assert not venue.notes
    assert 3 <= len(venue.asked) <= 12
    for read in venue.reads[1:]:
        at = read.venue_ns
        assert (read.bids, read.asks) == _model_top(states[at], 20)
    assert len(venue.reads) >= 145
    nursery.cancel_scope.cancel()

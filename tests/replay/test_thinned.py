"""Books that a feed keeps from changes are recorded more seldom than they change, by rule only."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from engine.clock import SECOND_NS
from engine.events import (
    BookRead,
    ClockAdopted,
    Event,
    FeedDamaged,
    FeedDown,
    FeedUp,
    InstrumentListed,
    Quote,
    SessionStopped,
)
from replay.redecode import Redecoded, redecode
from tests.replay.test_redecode import BTC, Raw, T

MS = 1_000_000
UP = FeedUp(T, "hyperliquid", 1)
STOP = SessionStopped(T + 300 * SECOND_NS, "a" * 16, "test")


class Decoder:
    """A message "7" is a book with a best bid of that size."""

    books_every_ns = 100 * MS

    def __init__(self, _: Sequence[InstrumentListed]) -> None:
        pass

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        return [state(recv_ns, int(message))]


def state(recv_ns: int, size: int, venue_ns: int = 0) -> BookRead:
    return BookRead(recv_ns, venue_ns or recv_ns, 1, ((1000, size, 1),), ((1001, 5, 1),))


def at(ms: int) -> int:
    return T + SECOND_NS + ms * MS


def compare(messages: dict[int, int], recorded: Sequence[Event]) -> Redecoded:
    """Compare messages, of sizes by ms, with records. A later one of each ends what is compared."""
    ended = {**messages, 200_000: 99}
    raw = Raw([(at(ms), str(size)) for ms, size in ended.items()], [])
    events = [BTC, UP, *recorded, state(at(200_000), 99), STOP]
    return redecode(((seq, 0, event) for seq, event in enumerate(events, 1)), raw, Decoder)  # type: ignore[arg-type]


def kinds(found: Redecoded) -> tuple[int, int, int, int, int]:
    return found.equal - 1, found.thinned, found.missing, found.extra, found.differing


def test_a_state_that_was_replaced_at_once_may_be_absent_and_one_that_stayed_may_not() -> None:
    messages = {0: 1, 30: 2, 60: 3, 400: 4}
    late = state(at(100), 3, at(60))  # recorded when it was due
    assert kinds(compare(messages, [state(at(0), 1), late, state(at(400), 4)])) == (3, 1, 0, 0, 0)
    missed = compare(messages, [state(at(0), 1), state(at(400), 4)])
    assert kinds(missed) == (2, 1, 0, 1, 0)
    assert not missed.same


def test_a_state_whose_levels_are_recorded_already_may_be_absent_however_long_it_stayed() -> None:
    messages = {0: 1, 30: 2, 60: 1, 5_000: 4}
    assert kinds(compare(messages, [state(at(0), 1), state(at(5_000), 4)])) == (2, 2, 0, 0, 0)


def test_a_state_that_was_not_due_when_the_connection_was_lost_may_be_absent() -> None:
    down, up = FeedDown(at(80), "hyperliquid", "cut", 0), FeedUp(at(5_000), "hyperliquid", 1)
    messages = {0: 1, 50: 2, 6_000: 4}
    found = compare(messages, [state(at(0), 1), down, up, state(at(6_000), 4)])
    assert kinds(found) == (2, 1, 0, 0, 0)
    late = FeedDown(at(400), "hyperliquid", "cut", 0)
    assert compare(messages, [state(at(0), 1), late, up, state(at(6_000), 4)]).extra == 1


@pytest.mark.parametrize(
    ("last_ms", "speed", "extra"), [(250, 1, 0), (449, 1, 0), (450, 1, 1), (450, 10, 0), (2250, 10, 1)]
)
def test_the_last_state_may_be_absent_only_if_the_recording_ended_before_it_was_due(
    last_ms: int, speed: int, extra: int
) -> None:
    """The newest event of the feed proves until when it looked for due books."""
    raw = Raw([(at(0), "1"), (at(250), "2")], [])
    clock = ClockAdopted(T, "hyperliquid", at(0), speed)
    again = FeedUp(at(last_ms), "hyperliquid", 1)
    for ended in ([], [STOP]):
        events = [BTC, clock, UP, state(at(0), 1), again, *ended]
        found = redecode(((seq, 0, event) for seq, event in enumerate(events, 1)), raw, Decoder)  # type: ignore[arg-type]
        assert (found.equal, found.thinned, found.extra) == (1, 1 - extra, extra)


class TwoBooks(Decoder):
    """A message "2:7" is a book of instrument 2 with a best bid of size 7."""

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        number, _, size = str(message).partition(":")
        return [replace(state(recv_ns, int(size)), instrument=int(number))]


@pytest.mark.parametrize(("lost", "extra"), [((1,), 2), ((2,), 0), ((1, 2), 0), ((), 0)])
def test_the_loss_of_a_connection_excuses_the_books_of_its_own_instruments_only(
    lost: tuple[int, ...], extra: int
) -> None:
    """Two states of instrument 2 were due, at 160 and 500 ms, while a connection was down."""
    eth = InstrumentListed(T, 2, "hyperliquid", "ETH", 1, 5)
    messages = [(at(0), "2:1"), (at(60), "2:2"), (at(400), "2:3"), (at(2_000), "2:4")]
    own = [replace(state(at(ms), size), instrument=2) for ms, size in ((0, 1), (2_000, 4))]
    down = FeedDown(at(80), "hyperliquid", "cut", 0, lost)
    again = FeedUp(at(1_000), "hyperliquid", 2)
    events = [BTC, eth, UP, own[0], down, again, own[1], STOP]
    found = redecode(((seq, 0, event) for seq, event in enumerate(events, 1)), Raw(messages, []), TwoBooks)  # type: ignore[arg-type]
    assert (found.equal, found.missing, found.differing, found.extra) == (2, 0, 0, extra)


def test_a_recorded_book_that_no_message_leads_to_is_a_difference() -> None:
    """Soon after the first message it may have been read over HTTP."""
    messages = {0: 1, 30_400: 4}
    other = state(at(30_100), 3, at(30_060))
    assert kinds(compare(messages, [state(at(0), 1), other, state(at(30_400), 4)])) == (2, 0, 1, 0, 0)
    assert kinds(compare(messages, [state(at(0), 7), state(at(30_400), 4)])) == (1, 0, 0, 0, 1)


@pytest.mark.parametrize(("in_doubt", "unconfirmed", "extra"), [(False, 1, 0), (True, 0, 1)])
def test_a_damaged_book_is_absent_until_it_is_recorded_again(
    in_doubt: bool, unconfirmed: int, extra: int
) -> None:
    """Trades in doubt say nothing of a book."""
    damaged = FeedDamaged(at(300), "hyperliquid", "book", 1, "a hole", in_doubt=in_doubt)
    found = compare({0: 1, 400: 2, 900: 3}, [state(at(0), 1), damaged, state(at(900), 3)])
    assert (found.unconfirmed, found.extra) == (unconfirmed, extra)
    assert not compare({0: 1, 900: 3, 1400: 4}, [state(at(0), 1), damaged, state(at(900), 3)]).same


def test_a_quote_made_of_a_book_that_is_not_recorded_is_one_of_the_decoded_states() -> None:
    best = Quote(at(30), at(30), 1, 1000, 2, 1001, 5)
    messages = {0: 1, 30: 2, 60: 3}
    found = compare(messages, [state(at(0), 1), best, state(at(100), 3, at(60))])
    assert (found.equal, found.over_rest) == (4, 0)
    worse = Quote(at(30), at(30), 1, 1000, 8, 1001, 5)
    found = compare(messages, [state(at(0), 1), worse, state(at(100), 3, at(60))])
    assert (found.equal, found.over_rest) == (3, 1)

"""Decoded raw messages are compared with the journal: each kind of difference, and what is not one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from adapters.hyperliquid.decode import Decoder
from adapters.hyperliquid.venue import HyperliquidVenue
from adapters.transport.raw import RawMessage
from engine.config import Config
from engine.events import (
    BookRead,
    CandleRead,
    ContextRead,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedUp,
    InstrumentListed,
    Quote,
    SessionStarted,
    SessionStopped,
    Trade,
)
from replay import redecode as module
from replay.redecode import Redecoded, redecode

T = 1_733_400_000_000_000_000
SECOND_NS = 1_000_000_000
BTC = InstrumentListed(T, 1, "hyperliquid", "BTC", 1, 5)
UP = FeedUp(T + SECOND_NS, "hyperliquid", 3, 1)


class Raw:
    """Replaces a `RawReader`."""

    def __init__(self, messages: Sequence[tuple[int, Any]], holes: list[tuple[int, int | None]]) -> None:
        self.holes = holes
        self.notes: list[str] = []
        self.continued = False
        self._messages = messages

    def __iter__(self) -> Iterator[RawMessage]:
        for number, (recv_ns, message) in enumerate(self._messages, 1):
            text = message if isinstance(message, str) else json.dumps(message)
            yield RawMessage("000001.zst", number, recv_ns, text)


def compare(
    messages: Sequence[tuple[int, Any]], events: Sequence[Event], holes: Sequence[tuple[int, int | None]] = ()
) -> Redecoded:
    """Compare a session with these inputs."""
    begun = SessionStarted(T, "a" * 16, "paper", "0", "s", "c", (), Config().canonical())
    records = [(seq, 0, event) for seq, event in enumerate([begun, BTC, *events], 1)]
    return redecode(records, Raw(messages, list(holes)), HyperliquidVenue().raw_decoder)  # type: ignore[arg-type]


def at(seconds: float) -> int:
    return T + round(seconds * SECOND_NS)


def trade_row(number: int, px: str = "100000.0") -> dict[str, Any]:
    """Return trade `number` at this second."""
    return {
        "coin": "BTC",
        "side": "B",
        "px": px,
        "sz": "0.5",
        "time": at(number) // 1_000_000,
        "hash": "0x0",
        "tid": 1000 + number,
        "users": ["0x1", "0x2"],
    }


def trade_message(*numbers: int) -> dict[str, Any]:
    return {"channel": "trades", "data": [trade_row(number) for number in numbers]}


def trade(number: int, recv_ns: int = 0, price: int = 1_000_000) -> Trade:
    return Trade(recv_ns or at(number), at(number), 1, price, 50_000, 1, 1000 + number)


def quote_message(seconds: float, px: str = "100.0") -> dict[str, Any]:
    sides = [{"px": px, "sz": "1.0", "n": 1}, {"px": "101.0", "sz": "1.0", "n": 1}]
    return {"channel": "bbo", "data": {"coin": "BTC", "time": at(seconds) // 1_000_000, "bbo": sides}}


def context(mark: str) -> dict[str, Any]:
    names = ("funding", "openInterest", "prevDayPx", "dayNtlVlm", "premium", "oraclePx", "midPx")
    ctx = dict.fromkeys(names, "1.0")
    return {"channel": "activeAssetCtx", "data": {"coin": "BTC", "ctx": {**ctx, "markPx": mark}}}


def candle(start: int, close: str, count: int) -> dict[str, Any]:
    start_ms = at(start) // 60_000_000_000 * 60_000
    prices = {"o": "100.0", "c": close, "h": "110.0", "l": "90.0"}
    row = {"t": start_ms, "T": start_ms + 59_999, "s": "BTC", "i": "1m", **prices, "v": "1.0", "n": count}
    return {"channel": "candle", "data": row}


def decoded(message: dict[str, Any], recv_ns: int) -> Any:
    """Return the events of a message."""
    return Decoder([BTC]).decode_frame(json.dumps(message), recv_ns)[0]


def counts(found: Redecoded) -> tuple[int, int, int, int]:
    return found.equal, found.differing, found.missing, found.extra


def test_trades_repeated_after_a_reconnect_are_not_a_difference() -> None:
    down, up = FeedDown(at(5), "hyperliquid", "cut", 500), FeedUp(at(6), "hyperliquid", 3, 1)
    gap = FeedGap(at(7), "hyperliquid", 1, at(4), at(7), True)
    messages = [
        (at(0.9), trade_message(-9, -8)),  # the replay on subscribing: before the session
        (at(3), trade_message(3)),
        (at(4), trade_message(4)),
        (at(7), trade_message(3, 4, 5)),
        (at(8), trade_message(8)),
    ]
    found = compare(messages, [UP, trade(3), trade(4), down, up, gap, trade(5, at(7)), trade(8)])
    assert counts(found) == (4, 0, 0, 0)
    assert found.repeated == 4
    assert found.same


def test_a_trade_that_decodes_differently_is_reported_with_its_message() -> None:
    found = compare(
        [(at(3), trade_message(3)), (at(4), trade_message(4))], [UP, trade(3), trade(4, price=999_999)]
    )
    assert counts(found) == (1, 1, 0, 0)
    assert found.first is not None
    assert (found.first.kind, found.first.file, found.first.number) == ("differs", "000001.zst", 2)
    assert (found.first.seq, found.first.recorded) == (5, trade(4, price=999_999))
    assert found.first.decoded == trade(4)


def test_a_record_without_a_message_is_missing_unless_no_raw_file_covers_it() -> None:
    messages = [(at(3), trade_message(3)), (at(200), trade_message(200))]
    events = [UP, trade(3), trade(4), trade(200)]
    found = compare(messages, events)
    assert counts(found) == (2, 0, 1, 0)
    assert found.first is not None
    assert (found.first.kind, found.first.recorded, found.first.decoded) == ("missing", trade(4), None)
    found = compare(messages, events, [(0, at(0)), (at(3), at(5))])
    assert counts(found) == (2, 0, 0, 0)
    assert found.uncovered == 1


def test_trades_that_filled_a_gap_may_be_from_rest() -> None:
    gap = FeedGap(at(9), "hyperliquid", 1, at(3), at(9), True)
    messages = [(at(3), trade_message(3)), (at(9), trade_message(9))]
    found = compare(messages, [UP, trade(3), gap, trade(6, at(9)), trade(9)])
    assert counts(found) == (2, 0, 0, 0)
    assert found.over_rest == 1


def test_f15_trades_that_settled_damage_may_be_from_rest_and_the_rest_of_a_message_counts() -> None:
    damaged = FeedDamaged(at(4), "hyperliquid", "trades", 1, "x", in_doubt=True)
    gap = FeedGap(at(6), "hyperliquid", 1, at(3), at(6), True)
    partly = trade_message(4, 5)
    partly["data"][0]["sz"] = 0.5
    messages = [(at(3), trade_message(3)), (at(4), "{"), (at(5), partly), (at(8), trade_message(8))]
    late = trade(4, at(5.5))
    found = compare(messages, [UP, trade(3), damaged, trade(5), late, gap, trade(8)])
    assert counts(found) == (3, 0, 0, 0)
    assert (found.over_rest, found.refused) == (1, 1)


@pytest.mark.parametrize(
    ("received", "recorded", "extra", "unconfirmed"),
    [
        pytest.param(at(4), [trade(3), trade(5)], 1, 0, id="between two recorded events"),
        pytest.param(at(0.5), [trade(3), trade(5)], 0, 1, id="before the feed was up"),
        pytest.param(at(6), [trade(3), trade(5)], 0, 1, id="after the last recorded event"),
    ],
)
def test_a_message_whose_event_was_not_recorded_needs_a_reason(
    received: int, recorded: list[Event], extra: int, unconfirmed: int
) -> None:
    messages = sorted(
        [(at(3), trade_message(3)), (at(5), trade_message(5)), (received, quote_message(4))],
        key=lambda one: one[0],
    )
    found = compare(messages, [UP, *recorded, SessionStopped(at(7), "a" * 16, "test")])
    assert (found.equal, found.extra, found.unconfirmed) == (2, extra, unconfirmed)


def test_a_trade_that_was_never_recorded_is_extra_at_any_age() -> None:
    messages = [(at(number), trade_message(number)) for number in range(2, 300)]
    recorded = [trade(number) for number in range(2, 300) if number != 50]
    found = compare(messages, [UP, *recorded])
    assert counts(found) == (297, 0, 0, 1)
    assert found.first is not None
    assert (found.first.kind, found.first.number) == ("extra", 49)


def test_a_delayed_event_is_found_by_its_content() -> None:
    """Messages before the last confirmation are recorded with the time of the confirmation."""
    messages = [(at(0.2), trade_message(2)), (at(0.3), context("5.0")), (at(0.4), quote_message(0.4))]
    recorded = [
        trade(2, at(1)),
        *(decoded(message, at(1)) for message in (context("5.0"), quote_message(0.4))),
    ]
    found = compare(messages, [UP, *recorded])
    assert counts(found) == (3, 0, 0, 0)


def test_unchanged_contexts_and_stale_quotes_are_not_new() -> None:
    first, second, third = context("5.0"), context("6.0"), context("5.0")
    messages = [
        (at(2), first),
        (at(3), first),
        (at(4), second),
        (at(5), third),
        (at(6), quote_message(6)),
        (at(7), quote_message(5)),
        (at(8), quote_message(8)),
    ]
    recorded: list[Event] = [decoded(message, recv_ns) for recv_ns, message in messages]
    assert isinstance(recorded[0], ContextRead)
    assert isinstance(recorded[-1], Quote)
    news = [recorded[0], recorded[2], recorded[3], recorded[4], recorded[6]]
    found = compare(messages, [UP, *news])
    assert counts(found) == (5, 0, 0, 0)
    assert found.repeated == 2
    found = compare(messages, [UP, recorded[0], recorded[3], recorded[4], recorded[6]])
    assert counts(found) == (4, 0, 0, 1), "a change was not recorded"


def test_the_last_message_about_a_closed_candle_counts() -> None:
    messages = [
        (at(1), candle(0, "100.0", 1)),
        (at(50), candle(0, "105.0", 2)),
        (at(61), candle(60, "99.0", 1)),
    ]
    row = messages[1][1]["data"]
    start_ns = row["t"] * 1_000_000
    recorded = CandleRead(
        at(61),
        start_ns + 60 * SECOND_NS,
        1,
        60 * SECOND_NS,
        start_ns,
        1000,
        1100,
        900,
        1050,
        100_000,
        2,
        "stream",
    )
    assert counts(compare(messages, [UP, recorded])) == (1, 0, 0, 0)
    earlier = compare([messages[0], messages[2]], [UP, recorded])
    assert counts(earlier) == (0, 1, 0, 0)
    assert counts(compare([], [UP, recorded])) == (0, 0, 1, 0)


def test_messages_that_cannot_be_decoded_are_counted() -> None:
    messages = [
        (at(2), "{"),
        (at(3), {"channel": "trades", "data": [{"coin": "BTC"}]}),
        (at(4), '{"channel":"pong"}'),
    ]
    found = compare(messages, [UP])
    assert (found.frames, found.refused) == (3, 2)
    assert found.same


def test_memory_is_bounded_when_the_journal_has_none_of_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENTRIES_MAX", 100)
    messages = [(at(2 + number / 100), quote_message(2 + number / 100)) for number in range(1000)]
    events = [decoded(quote_message(20), at(20))]
    found = compare([*messages, (at(20), quote_message(20))], [UP, trade(3), *events])
    assert found.extra >= 900


def test_a_book_that_was_read_before_its_message_is_found_with_it() -> None:
    """A feed reads a book of diffs when it is due; a decoder has that state with the next message."""

    def frame(second: int) -> dict[str, Any]:
        level = {"px": "100000.0", "sz": "0.5", "n": 1}
        time_ms = at(second) // 1_000_000
        return {"channel": "l2Book", "data": {"coin": "BTC", "time": time_ms, "levels": [[level], []]}}

    def book(second: int, size: int = 50_000) -> BookRead:
        return BookRead(at(second), at(second), 1, ((1_000_000, size, 1),), ())

    messages = [(at(2), frame(2)), (at(20.5), frame(20))]
    assert compare(messages, [UP, book(2), book(20)]).same
    assert not compare(messages, [UP, book(2), book(20, 60_000)]).same
    more = [messages[0], (at(10), frame(10)), messages[1]]
    found = compare(more, [UP, book(2), book(20)])
    assert (found.extra, found.books) == (1, 1)

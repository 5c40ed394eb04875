"""Tapes made from recorded days."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchange.tape import Tape, day_tape, journal_tape
from adapters.sandbox.market import synthetic_tape
from engine.errors import UsageError
from engine.events import ClockAdvanced, Event, InstrumentListed, LiquidationRead, Quote, Trade
from engine.events.codec import encode_inputs
from engine.journal import Draft, Staging, day_start_ns
from engine.values import BUY, NO_SIDE, SELL

from .kit import BTC, MS, PURR, START_NS, quote, trade

BINANCE = InstrumentListed(START_NS, 7, "binance", "BTCUSDT", 2, 8)


def recorded(*frames: Sequence[Event]) -> Tape:
    blobs = [encode_inputs(frame) for frame in frames]
    return day_tape("a day", lambda: blobs)


def played(*frames: Sequence[Event], shift_ns: int = 0) -> list[Trade | Quote | LiquidationRead]:
    return list(recorded(*frames).play(shift_ns))


def trades_of(events: Sequence[Event]) -> list[Trade]:
    return [event for event in events if isinstance(event, Trade)]


def write_day(root: Path, frames: Sequence[Sequence[Event]]) -> Path:
    seq = 1
    with Staging(root, random=bytes) as staging:
        day = staging.begin(20241205)
        for frame in frames:
            day.append(Draft(seq, len(frame), encode_inputs(frame)), day_start_ns(20241205))
            seq += len(frame)
        staging.complete()
        staging.publish()
    return root / "2024-12-05"


def test_a_recorded_day_is_played_as_recorded(tmp_path: Path) -> None:
    market = [
        quote(0, 841430, 841440),
        trade(1, 841440),
        trade(1, 841430, side=SELL, tid=9),
        quote(5, 841420, 841430),
    ]
    folder = write_day(tmp_path, [[BTC], market, [ClockAdvanced(START_NS + 9)]])
    tape = journal_tape(folder)
    assert tape.instruments == [BTC]
    assert tape.start_ns == START_NS
    assert list(tape.play(0)) == market
    assert list(tape.play(0)) == market


def test_a_missing_or_empty_day_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such day"):
        journal_tape(tmp_path / "2024-12-05")
    with pytest.raises(UsageError, match="nothing to play"):
        recorded([BTC], [ClockAdvanced(START_NS)])
    with pytest.raises(UsageError, match="nothing to play"):
        journal_tape(write_day(tmp_path, [[BTC]]))


def test_two_venues_with_the_same_instrument_are_refused() -> None:
    twin = InstrumentListed(START_NS, 3, "other", "BTC", 1, 5)
    with pytest.raises(UsageError, match="hyperliquid and other both list 'BTC'"):
        recorded([BTC, twin], [trade(0, 841430)])


def test_an_instrument_listed_late_is_known_from_the_start() -> None:
    assert recorded([BTC], [trade(0, 841430)], [PURR]).instruments == [BTC, PURR]


def test_a_trade_without_a_side_gets_one_by_the_tick_rule() -> None:
    prices = [100, 100, 101, 101, 99, 99, 100]
    events = played([BTC], [trade(i, price, side=NO_SIDE) for i, price in enumerate(prices)])
    assert [t.aggressor for t in trades_of(events)] == [BUY, BUY, BUY, BUY, SELL, SELL, BUY]


def test_a_trade_without_an_id_gets_the_next_number() -> None:
    bare = [Trade(START_NS, START_NS, 1, 841430, 1, BUY, known) for known in (0, "", "12", "a-b", 77, 0)]
    ids = [t.trade_id for t in trades_of(played([BTC], bare))]
    assert (ids[0], ids[1], ids[2], ids[4], ids[5]) == (1, 2, 12, 77, 3)
    assert isinstance(ids[3], int)
    assert 2**20 < ids[3] < 2**50


def test_a_day_without_quotes_gets_quotes_from_its_trades() -> None:
    events = played([BTC], [trade(0, 841440), trade(1, 841440), trade(2, 841440, side=SELL)])
    assert [(e.bid, e.ask) for e in events if isinstance(e, Quote)] == [(841430, 841440), (841440, 841450)]
    assert [type(e) for e in events] == [Trade, Quote, Trade, Trade, Quote]


def test_an_instrument_with_quotes_gets_no_others() -> None:
    events = played([BTC, PURR], [quote(0, 841430, 841440), trade(1, 841440), trade(2, 210000, instrument=2)])
    assert [(e.instrument, e.ask) for e in events if isinstance(e, Quote)] == [(1, 841440), (2, 210000)]


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=40), st.integers(0, 10**18))
def test_a_time_that_decreases_is_replaced_by_the_latest(steps: list[int], shift_ns: int) -> None:
    at_ms = 100_000
    events: list[Event] = []
    for step in steps:
        at_ms += step
        events.append(trade(at_ms, 841430, tid=1))
    times = [event.venue_ns for event in played([BTC], events, shift_ns=shift_ns)]
    assert times == sorted(times)
    assert times[0] == START_NS + (100_000 + steps[0]) * MS + shift_ns
    assert max(times) == max(e.venue_ns for e in events if isinstance(e, Trade)) + shift_ns


def test_a_day_with_a_changed_grid_is_played_at_the_finest_scale() -> None:
    finer = InstrumentListed(START_NS, 1, "hyperliquid", "BTC", 2, 5, price_figures=5)
    tape = recorded([BTC], [trade(0, 841430)], [finer], [trade(1, 8414305)])
    assert tape.instruments[0].price_scale == 2
    assert [t.price for t in trades_of(list(tape.play(0)))] == [8414300, 8414305]


def test_liquidations_are_played_at_the_finest_scale_under_the_ids_of_their_trades() -> None:
    number, at_ns = BTC.instrument, START_NS + 5
    forced = LiquidationRead(at_ns + 3, at_ns, number, SELL, 841_430, 7, "x1", True)
    late = LiquidationRead(at_ns + 3, at_ns - 2, number, BUY, 841_440, 2)
    finer = InstrumentListed(START_NS, number, BTC.venue, BTC.name, BTC.price_scale + 1, BTC.size_scale)
    sold = Trade(at_ns, at_ns, number, 841_430, 7, SELL, "x1")
    trades = [event for event in played([BTC, sold, forced, late, finer]) if not isinstance(event, Quote)]
    shown, first, second = trades
    assert isinstance(shown, Trade)
    assert first == LiquidationRead(at_ns, at_ns, number, SELL, 8_414_300, 7, shown.trade_id, True)
    assert second == LiquidationRead(at_ns, at_ns, number, BUY, 8_414_400, 2)


def test_the_synthetic_tape_can_be_shifted_in_time() -> None:
    tape = synthetic_tape(seed=3)
    kept = list(islice(tape.play(0), 500))
    moved = list(islice(tape.play(0), 500))
    assert kept == moved
    assert kept[0].venue_ns == tape.start_ns
    assert next(tape.play(5 * MS)).venue_ns == tape.start_ns + 5 * MS

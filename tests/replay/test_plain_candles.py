"""Candles take shortcuts in the aggregator and the ledger, only where the result is the same.

A random session of candles runs twice, once without them: the same records, bit for bit, and the same report.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors.bars import bar_event
from engine.actors.base import handles
from engine.actors.books import equity
from engine.actors.candle_bars import CandleBars, _at_end, _bar_of
from engine.actors.closing import End
from engine.clock import window_end
from engine.config import AccountConfig, BarsConfig, Config
from engine.events import BarClosed, BarCorrected, Candle, EquityMarked, Event, MarketRules, OrderFilled
from engine.records import draft_of
from tests.profiles import examples
from tests.replay.kit import Memory
from tests.replay.test_passed_candles import inputs, played, settings


@handles(Candle)
def plain_candle(bars: Any, candle: Candle, emit: Any) -> None:
    """Take a candle as the aggregator does, and look with each one for longer bars that are overdue."""
    emit = _at_end(emit)
    instrument, span, at_ns = candle.instrument, candle.interval_ns, candle.recv_ns
    bar = _bar_of(candle)
    market = bars._markets.get(instrument)
    if market is None:
        longer = [one for one in bars._spans_ns if one > span and window_end(one, 0) % span == 0]
        market = bars._market(instrument, [span, *longer])
    base = market.series[0]
    if span != base.interval_ns:
        emit(bar_event(bar, instrument, span, "candle", at_ns))
        return
    if base.closed and bar.start_ns <= base.closed[-1].start_ns:
        bars._replace(market, bar, instrument, at_ns, emit)
        return
    end = End(instrument, market, "candle", at_ns, emit)
    bars._finish(bar.start_ns, end)
    bars._publish(base, bar, end)
    if not market.flat:
        bars._set_longer_timer(instrument, market, emit)


def varied(seed: int) -> list[Event]:
    """Return a session of candles of two markets: with gaps, repeated ones, and currencies of their own."""
    draw = Random(seed)
    intervals = draw.choice([("1m", "5m"), ("1m", "5m", "15m", "1h"), ("1m", "3m", "15m", "1h", "1d")])
    quotes = draw.choice([("", ""), ("USDC", "USDC"), ("USDC", "EUR")])
    config = msgspec.structs.replace(settings(draw), bars=BarsConfig(intervals))
    config = _in_currency(config, draw.choice(["", "USDC"]))
    events: list[Event] = []
    for event in inputs(seed, config, MarketRules(stated=True, leverage_max=20)):
        if isinstance(event, Candle):
            if draw.random() < 0.03:
                continue
            events += [event] * draw.choice([1, 1, 1, 1, 1, 1, 1, 1, 2])
        elif hasattr(event, "rules"):
            rules = msgspec.structs.replace(event.rules, quote=quotes[event.instrument - 1])
            silence = draw.choice(["flat", "none"])
            events.append(msgspec.structs.replace(event, rules=rules, silence=silence))
        else:
            events.append(event)
    return events


def _in_currency(config: Config, currency: str) -> Config:
    account: AccountConfig = msgspec.structs.replace(
        config.account, currency=currency, prices={"EUR": "1.0873"}
    )
    return msgspec.structs.replace(config, account=account)


def written(memory: Memory) -> list[tuple[str, Any]]:
    """Return the frames as they are written."""
    return [
        (day, draft_of(first_seq, received, derived)) for day, first_seq, received, derived in memory.frames
    ]


def compare(seed: int) -> Memory:
    events = varied(seed)
    short, report, _ = played(events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CandleBars, "add_candle", plain_candle)
        patch.setattr(equity, "_of_one_currency", lambda *_: None)
        plain, expected, _ = played(events)
    assert written(short) == written(plain)
    assert report == expected
    return short


@examples(0.1)
@given(st.integers(0, 2**32))
@example(3)
def test_random_candles_lead_to_the_same_bytes_as_the_plain_way(seed: int) -> None:
    compare(seed)


def test_these_sessions_have_gaps_corrections_fills_and_marks() -> None:
    """Else the comparison would show nothing."""
    seen: Counter[type[Event]] = Counter()
    cut = 0
    for seed in range(5):
        for _, _, event in compare(seed).all():
            seen[type(event)] += 1
            cut += isinstance(event, BarClosed) and event.incomplete
    assert min(seen[kind] for kind in (BarClosed, BarCorrected, EquityMarked, OrderFilled)) > 1
    assert cut > 1

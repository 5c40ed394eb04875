"""Sessions of both markets on the local exchange over a bad network: nothing lost or doubled, bars right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio

from adapters.binance.sandbox.protocol import BinanceProtocol
from engine.events import (
    BarClosed,
    BookRead,
    Event,
    FeedGap,
    Trade,
)
from tests.binance.stage import Stage, events, replays, session, staged
from tests.profiles import pick

FAULTS = "cut:0.002,drop:0.01,duplicate:0.01,reorder:0.01,delay:0.01,damage:0.008,429:0.02,5xx:0.02"
CHANNELS = {
    "binance": ("depth", "kline"),
    "binance-usdm": ("depth", "kline", "markPrice", "openInterest", "forceOrder"),
}
MINUTES = pick(4, deep=10)


def of(kind: type[Any], found: list[Event]) -> list[Any]:
    return [event for event in found if isinstance(event, kind)]


def check_trades(stage: Stage, found: list[Event]) -> None:
    """Every trade between the first and the last recorded one is recorded once, or lies in an open gap."""
    recorded = [(one.trade_id, one.price, one.size) for one in of(Trade, found)]
    assert len(recorded) == len(set(recorded))
    recorded.sort()
    (state,) = stage.protocol.symbols.values()
    first, last = recorded[0][0], recorded[-1][0]
    listed = state.market.listed
    truth = [
        (
            one.number,
            round(float(one.price) * 10**listed.price_scale),
            round(float(one.size) * 10**listed.size_scale),
        )
        for one in state.prints
        if first <= one.number <= last
    ]
    missing = {one[0] for one in truth} - {one[0] for one in recorded}
    assert recorded == [one for one in truth if one[0] not in missing]
    opened = [gap for gap in of(FeedGap, found) if not gap.closed]
    for one in state.prints:
        if one.number in missing:
            assert any(gap.from_ns <= one.time_ms * 1_000_000 <= gap.to_ns for gap in opened)
    assert len(missing) <= 2
    assert len(truth) > 100


def check_bars(stage: Stage, found: list[Event], *, counts: bool) -> tuple[int, int]:
    """Every complete bar equals the exchange's candle; return how many were complete and marked."""
    (state,) = stage.protocol.symbols.values()
    now_ms = stage.exchange.now_ms
    candles = {one.start_ms: one for one in state.market.candles.history("1m", now_ms)}
    last = {bar.start_ns: bar for bar in of(BarClosed, found)}
    whole = marked = 0
    for start_ns, bar in last.items():
        if bar.incomplete:
            marked += 1
            continue
        whole += 1
        candle = candles[start_ns // 1_000_000]
        ours = (bar.open, bar.high, bar.low, bar.close, int(bar.volume))
        assert ours == (candle.open, candle.high, candle.low, candle.close, candle.volume)
        if counts:
            assert bar.trades == candle.trades
    return whole, marked


def record_books(monkeypatch: Any) -> dict[int, Any]:
    """Return the best levels that the exchange has published at each time."""
    books: dict[int, Any] = {}
    send = BinanceProtocol._send_diff

    def record(self: BinanceProtocol, state: Any, now_ms: int) -> None:
        send(self, state, now_ms)
        books[now_ms] = tuple(
            tuple((*level[:2], 0) for level in side[:20]) for side in (state.bids, state.asks)
        )

    monkeypatch.setattr(BinanceProtocol, "_send_diff", record)
    return books


@pytest.mark.parametrize("kind", ["binance", "binance-usdm"])
async def test_minutes_of_a_bad_network(
    kind: str, tmp_path: Path, paced_clock: Any, monkeypatch: Any
) -> None:
    books = record_books(monkeypatch)
    async with staged(kind, faults=FAULTS, instruments=("LINK",), speed=20) as stage:

        async def script() -> None:
            await trio.sleep(MINUTES * 3)
            stage.exchange.faults.disarm()
            await trio.sleep(20)  # a doubt waits up to 16 s until it is settled

        await session(
            stage,
            tmp_path / "j",
            script,
            channels=CHANNELS[kind],
            trades="raw" if kind == "binance" else "aggregate",
        )
        found = events(tmp_path / "j")
        counts = Counter(type(one).__name__ for one in found)
        check_trades(stage, found)
        whole, marked = check_bars(stage, found, counts=kind == "binance")
    assert whole > marked
    assert counts["BookRead"] > 100
    for book in of(BookRead, found):
        assert (book.bids, book.asks) == books[book.venue_ns // 1_000_000]
    assert counts["FeedDamaged"] > MINUTES
    replays(tmp_path / "j")

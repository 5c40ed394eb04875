"""What a view remembers is bounded, however long the journal is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.events import (
    BarClosed,
    EquityMarked,
    FeedGap,
    FillBooked,
    InstrumentListed,
    LogWritten,
    OperatorCommand,
    OrderChanged,
    OrderRefused,
    OrderTerms,
    SignalRaised,
    SubmitOrder,
    Trade,
)
from engine.views import account, markets, orders, projection, trading
from engine.views.view import View
from tests.views.following import JOURNAL

SMALL = {
    (markets, "TRADES_MAX"): 200,
    (markets, "TRADES_EACH"): (20, 60),
    (markets, "BARS_MAX"): 300,
    (markets, "BARS_EACH"): (10, 40),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for (module, name), value in SMALL.items():
        monkeypatch.setattr(module, name, value)


def listed(number: int) -> InstrumentListed:
    return InstrumentListed(1, number, "sim", f"M{number}", 2, 2)


def test_trades_and_bars_of_many_markets_share_a_bound(small: None) -> None:
    view = View(JOURNAL)
    seq = 0
    for number in range(1, 31):
        seq += 1
        view.apply([(seq, 0, listed(number))])
    for at in range(300):
        batch: list[Any] = []
        for number in range(1, 31):
            seq += 1
            batch.append((seq, 0, Trade(at, at, number, 100, 1, 1)))
            for span in (1_000_000_000, 5_000_000_000):
                seq += 1
                bar = BarClosed(at, number, span, at * span, 1, 2, 1, 1, 1, 1, "timer")
                batch.append((seq, 1, bar))
        view.apply(batch)
    kept = view.markets.by_number.values()
    assert sum(len(market.trades) for market in kept) <= 20 * 30
    assert sum(len(series) for market in kept for series in market.bars.values()) <= 60 * 11
    assert all(len(market.since) <= 2_049 for market in kept)


def test_everything_else_has_a_bound_of_its_own() -> None:
    view = View(JOURNAL)
    view.apply([(1, 0, listed(1))])
    terms = OrderTerms(1, 10)
    fill = FillBooked(1, "A", 1, 1, 100, 1, 0, 0, "", 0, "taker", "open", "own")
    refused = OrderRefused(1, 1, "A", 1, 1, 1, "margin", "too much")
    seq = 1
    for at in range(6_000):
        name = f"0x{at:032x}"
        batch: list[Any] = [
            SubmitOrder(at, name, "A", 1, terms),
            OrderChanged(at, name, "A", 1, "Canceled", 0, 10),
            fill,
            refused,
            FeedGap(at, "feed", 1, 0, 1),
            OperatorCommand(at, "pause", f"{at}", nonce=f"{at}"),
            SignalRaised(at, "A", 1, f"signal {at}", 1.0),
            SignalRaised(at, "A", 1, "one", 1.0),
            LogWritten(at, "A", "line"),
        ]
        view.apply([(seq + 1 + place, 1, event) for place, event in enumerate(batch)])
        seq += len(batch)
    states = view.order_states
    assert not states.live
    assert len(states.ended) == orders.ENDED_MAX
    assert len(states.refusals) == orders.REFUSED_MAX
    assert len(view.account.fills) == account.FILLS_MAX
    assert len(view.recent) == projection.EVENTS_MAX
    assert len(view.trading.commands) == trading.COMMANDS_MAX
    assert len(view.trading.series) == trading.SERIES_MAX
    assert all(len(ring) <= trading.SIGNALS_MAX for ring in view.trading.series.values())
    assert len(view.trading.lines["A"]) == trading.LINES_MAX
    assert len(view.health_state.gaps) == 1_000
    assert len(msgspec.json.encode(view.status())) < 10_000


def test_the_curve_keeps_its_ends_and_loses_detail_in_the_past() -> None:
    view = View(JOURNAL)
    for at in range(20_000):
        equity = 100_000 + at - (50_000 if at == 3_333 else 0)
        view.apply([(at + 1, 1, EquityMarked(at * 10**9, 2, 0, 0, 0, equity, 0, 100_000))])
    points = view.equity().points
    assert len(points) <= account.CURVE_MAX
    assert points[-1].equity == "1199.99"
    assert points[0].seq == 1
    assert max(points, key=lambda point: float(point.drawdown)).seq == 3_334
    assert [point.seq for point in points[-500:]] == list(range(19_501, 20_001))
    assert points == sorted(points, key=lambda point: point.seq)

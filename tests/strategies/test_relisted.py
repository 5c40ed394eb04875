"""What a strategy reads goes on when its market is listed again with finer scales."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from engine.events import BarClosed, Quote, Trade
from engine.registry import relist
from engine.strategies import Bar, Strategy, Tick
from engine.strategies.actor import StrategyActor
from tests.actors.harness import LISTED, MINUTE, Harness, T


class Reader(Strategy):
    """Keeps what it reads at each trade."""

    def on_start(self) -> None:
        self.found: list[Any] = []

    def on_bar(self, bar: Bar) -> None:
        self.bars("AAA", "1m", 3)

    def on_trade(self, trade: Tick) -> None:
        quote = self.quote("AAA")
        bars = self.bars("AAA", "1m", 3)
        self.found.append(
            (
                self.last("AAA"),
                None if quote is None else (quote.bid, quote.ask_size),
                list(bars.values()),
                [(bar.close, bar.volume, bar.vwap, bar.event.close, bar.listed.price_scale) for bar in bars],
            )
        )


def test_prices_quotes_and_windows_of_bars_are_the_same_before_and_after() -> None:
    rig = Harness(StrategyActor(Reader, "S", {}))
    coarse = LISTED[1]
    fine = replace(coarse, price_scale=4, size_scale=6)

    def bar(number: int, close: int, size: int, money: int) -> BarClosed:
        start = T + number * MINUTE
        prices = (close, close, close, close)
        return BarClosed(start + MINUTE, 1, MINUTE, start, *prices, size, 1, "timer", quote_volume=money)

    trade = Trade(T, T + 9 * MINUTE, 1, 10_055, 1500, 1)
    rig.send(replace(trade, venue_ns=T))
    rig.send(Quote(T, T, 1, 10_050, 2000, 10_060, 3000))
    rig.send(bar(0, 10_055, 1500, 10_055 * 1500), bar(1, 10_070, 500, 10_070 * 500), trade)
    in_force = rig.actor.instruments
    relist([rig.actor], in_force, fine)  # type: ignore[arg-type]
    rig.send(fine)
    rig.send(replace(trade, price=1_005_500, size=1_500_000))
    _, before, after = rig.strategy.found
    assert after[:3] == before[:3] == (100.55, (100.5, 3.0), [100.55, 100.7])
    assert [one[:3] for one in after[3]] == [one[:3] for one in before[3]]
    assert [one[3:] for one in before[3]] == [(10_055, 2), (10_070, 2)]
    assert [one[3:] for one in after[3]] == [(1_005_500, 4), (1_007_000, 4)]
    rig.send(bar(2, 1_008_000, 500_000, 1), replace(trade, price=1_009_000, size=1_500_000))
    assert rig.strategy.found[-1][2] == [100.55, 100.7, 100.8]

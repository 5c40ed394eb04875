"""A journal that got another venue: the session's instrument has the bare name, the other stays apart."""

from __future__ import annotations

from engine.clock import DAY_NS, SECOND_NS, day_start_ns
from engine.config import Config, RiskConfig, StrategyConfig
from engine.events import (
    Event,
    InstrumentListed,
    LogWritten,
    OrderRefused,
    OrderRequested,
    SessionStarted,
    Trade,
)
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.strategies import Strategy, Tick
from replay.verification import DayReplay
from tests.replay.kit import DAY, NOON, Memory, stopped

MIDNIGHT = day_start_ns(DAY) + DAY_NS


class Buys(Strategy):
    """Buys 1 in `AAA` on each trade, and says of which market the trade is and what it has in which."""

    def on_trade(self, trade: Tick) -> None:
        self.log(f"{trade.market} {trade.price:g}")
        self.buy("AAA", 1)


def build(names: tuple[str, ...], **risk: dict[str, str]) -> Config:
    return Config(strategies=(StrategyConfig(use="mine:Buys"),), instruments=names, risk=RiskConfig(**risk))


BUILDER = SessionBuilder({"mine:Buys": Buys}.__getitem__, "0" * 16, "0.0.test")


def begin(at_ns: int, session: str, config: Config) -> SessionStarted:
    return BUILDER.start(recv_ns=at_ns, session=session * 16, mode="paper", config=config)


def trade(at_ns: int, instrument: int) -> Trade:
    return Trade(at_ns, at_ns, instrument, 1000 * instrument, 1, 1, at_ns)


def test_a_bare_name_means_the_instrument_that_the_session_trades() -> None:
    later = NOON + 60 * SECOND_NS
    second = build(("kraken:AAA",), max_order_size={"kraken:AAA": "0.5"})
    inputs: list[Event] = [
        begin(NOON, "a", build(("binance:AAA",))),
        InstrumentListed(NOON, 1, "binance", "AAA", 1, 0),
        trade(NOON + 1, 1),
        stopped(NOON + 2),
        begin(later, "b", second),
        InstrumentListed(later, 2, "kraken", "AAA", 2, 1),
        trade(later + 1, 2),
        trade(later + 2, 1),
        trade(MIDNIGHT + 1, 2),
        trade(MIDNIGHT + 2, 1),
    ]
    memory = Memory()
    sequencer = Sequencer(BUILDER, memory, memory)
    for event in inputs:
        sequencer.run([event])

    assert [one.instrument for one in memory.events(OrderRequested)] == [1, 2, 2, 2, 2]
    said = [one.text for one in memory.events(LogWritten)]
    assert said == ["AAA 100", "AAA 20", "binance:AAA 100", "AAA 20", "binance:AAA 100"]
    refused = [one.reason for one in memory.events(OrderRefused) if one.limit == "max_order_size"]
    assert refused == ["1 AAA is more than 0.5"] * 4
    for day in memory.days:
        replay = DayReplay(BUILDER, memory)
        for frame in memory.day_frames(day):
            replay.feed(frame)

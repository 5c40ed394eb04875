"""The end of a piece of a walk-forward: whatever is on its way then, nothing of it meets a later price."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine.config import Config, SimulatedConfig
from engine.events import (
    CancelOrder,
    Event,
    FeedDown,
    ModifyOrder,
    OperatorCommand,
    OrderFilled,
    SubmitOrder,
    Trade,
)
from engine.events.terms import CLOSE
from engine.values import SELL
from replay.backtesting import DigestSink, run_backtest
from tests.actors.harness import T
from tests.actors.venue_kit import HOUR, holding, order, summary
from tests.replay.kit import MS, NOON, config_of, opening, steady, use, write_journal
from tests.strategies.fakes import builder

LATENCIES = {
    "latency_ms": None,
    "order_ms": SimulatedConfig(order_ms="uniform 20 160"),
    "slow": SimulatedConfig(order_ms="300"),
    "answer_ms": SimulatedConfig(order_ms="90", answer_ms="400"),
    "feed_ms": SimulatedConfig(order_ms="90", answer_ms="50", feed_ms="120"),
}


def configured(section: SimulatedConfig | None, cls: str) -> Config:
    config = config_of(use(cls, params={"every": 2}), latency_ms=300 if cls == "Hasty" else 100)
    return config if section is None else replace(config, simulated=section)


class Watching:
    """What a run derives."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def append(self, first_seq: int, inputs: list[Event], derived: list[Any]) -> None:
        self.found.extend(event for _, _, event in derived)

    def of(self, *types: type[Event]) -> list[Any]:
        return [event for event in self.found if isinstance(event, types)]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("seams")
    write_journal(root, [[*opening(configured(None, "Busy"), NOON), *steady(200, NOON)]])
    (folder,) = [one for one in root.iterdir() if one.is_dir()]
    return folder


def ended(day: Path, config: Config, end_ns: int) -> Watching:
    """Run one piece that ends at a time, on data that goes on."""
    watching = Watching()
    (name,) = [entry.title for entry in config.strategies]
    windows = ((name, 0, NOON, end_ns),)
    run_backtest([day], builder(), config, DigestSink(), watch=[watching], windows=windows)
    return watching


@pytest.mark.parametrize("cls", ["Busy", "Careful", "Hasty"])
@pytest.mark.parametrize("latencies", LATENCIES)
def test_what_is_on_its_way_at_a_seam_meets_no_later_price(day: Path, latencies: str, cls: str) -> None:
    """Positions are closed at the last price with slippage, also by exits that were sent before.

    The ends are at any time, and shortly after an exit, a cancel or a change was sent.
    """
    config = configured(LATENCIES[latencies], cls)
    trades = [event for event in steady(200, NOON) if isinstance(event, Trade)]
    whole = ended(day, config, NOON + 30_000 * MS)
    exits = [one.at_ns for one in whole.of(SubmitOrder) if one.terms.role == CLOSE and not one.terms.trigger]
    changes = [one.at_ns for one in whole.of(CancelOrder, ModifyOrder)]
    ends = [NOON + end_ms * MS for end_ms in range(3_000, 15_000, 1_700)]
    in_flight = 0
    for end_ns in (*ends, *(at_ns + 15 * MS for at_ns in (*exits[:6], *changes[:9]))):
        end_ms = (end_ns - NOON) / MS
        run = ended(day, config, end_ns)
        sent = {one.client_order_id: one for one in run.of(SubmitOrder)}
        held: Counter[int] = Counter()
        for fill in run.of(OrderFilled):
            held[fill.instrument] += fill.side * fill.size
            assert fill.recv_ns < end_ns, f"{end_ms}: filled after the end"
            order = sent[fill.client_order_id]
            if fill.venue_ns == end_ns - 1 and order.terms.role == CLOSE:
                in_flight += order.at_ns < end_ns - 1
                known = [
                    one.price
                    for one in trades
                    if one.instrument == fill.instrument and received(one, latencies) < end_ns
                ]
                worse = 10_000 + fill.side * config.paper.slippage_bps
                assert (fill.price, fill.liquidity) == (known[-1] * worse, "taker"), f"{end_ms}"
                assert int(fill.fee) > 0
        assert not any(held.values()), f"{end_ms}: something is held after the end"
        assert all(one.at_ns < end_ns for one in run.of(SubmitOrder, CancelOrder))
    assert in_flight


def received(trade: Trade, latencies: str) -> int:
    return trade.venue_ns + 120 * MS if latencies == "feed_ms" else trade.recv_ns


def test_an_exit_at_a_seam_closes_whatever_it_is_for_and_keeps_to_its_limit() -> None:
    """One whose limit the last price does not allow ends; then what is owed closes."""
    harness = holding(10, latency_ms=100, slippage_bps=10)
    end_ns = T + HOUR
    harness.actor.seams = {"s": end_ns}  # type: ignore[attr-defined]
    at: dict[str, Any] = {"at": end_ns - 1, "role": "close"}
    exits = [
        order("own", SELL, 4, **at),
        order("low", SELL, 1, 99, "Ioc", **at),
        order("high", SELL, 1, 101, "Ioc", **at),
        order("sent", SELL, 3, at=end_ns - 5, role="close"),
    ]
    assert summary(harness.send(*exits)) == [
        ("OrderAccepted", "own"),
        ("fill", "own", "4@99.9"),
        ("OrderAccepted", "low"),
        ("fill", "low", "1@99.9"),
        ("OrderAccepted", "high"),
        ("OrderCanceled", "high", "Ioc found no match"),
    ]
    harness.send(FeedDown(end_ns - 1, "sim", "test"))
    other = OperatorCommand(end_ns - 1, "pause", "other")
    assert harness.send(other) == []
    ending = harness.send(OperatorCommand(end_ns - 1, "pause", "s"))
    assert summary(ending) == [("OrderAccepted", "sent"), ("fill", "sent", "3@99.9")]
    assert harness.advance(end_ns + HOUR) == [], "nothing arrives again"

"""The market maker of docs/backtesting.md on recorded books and quotes, against a simulation of a few loops.

The simulation reads the recorded frames by itself and trades with `StraightVenue`; it shares no code with the
engine. Orders, fills, times and cash have to be equal.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.config import (
    AccountConfig,
    BarsConfig,
    Config,
    PaperConfig,
    RiskConfig,
    SimulatedConfig,
    StrategyConfig,
)
from engine.events import (
    BookRead,
    CancelOrder,
    Event,
    InstrumentListed,
    MarketRules,
    OrderCanceled,
    OrderFilled,
    OrderRejected,
    Quote,
    SubmitOrder,
    Trade,
)
from engine.sequencer import Sequencer
from engine.session import SessionBuilder
from engine.strategies import Strategy
from tests.actors.straight_venue import StraightVenue
from tests.docs_pages import ROOT, blocks
from tests.profiles import pick
from tests.replay.kit import Memory
from tests.strategies.test_documented import loaded

FRAMES = Path(__file__).resolve().parents[3] / "shared" / "data" / "frames"
MS = 1_000_000
AHEAD_NS = 1_300 * MS
"""How far the clock of Binance was ahead of the recorder's; taken off, as if the two agreed."""

pytestmark = pytest.mark.skipif(not FRAMES.exists(), reason="the shared data is not here")

Market = list[tuple[Any, ...]]


def hyperliquid() -> Market:
    """Return books of 20 levels and trades; prices at 0 decimals, sizes at 5."""
    found: Market = []
    with gzip.open(FRAMES / "hyperliquid-BTC-20250126.jsonl.gz", "rt") as file:
        for line in file:
            at, _, text = line.partition(" ")
            frame = json.loads(text)
            if frame["channel"] == "l2Book":
                data = frame["data"]
                sides = [
                    [(int(Decimal(one["px"])), int(Decimal(one["sz"]) * 10**5)) for one in side]
                    for side in data["levels"]
                ]
                found.append(("book", int(at), data["time"] * MS, *sides))
            elif frame["channel"] == "trades":
                for one in frame["data"]:
                    price, size = int(Decimal(one["px"])), int(Decimal(one["sz"]) * 10**5)
                    side = 1 if one["side"] == "B" else -1
                    found.append(("trade", int(at), one["time"] * MS, price, size, side))
    return found


def binance() -> Iterator[tuple[Any, ...]]:
    """Yield best bids and asks and trades; prices at 1 decimal, sizes at 3."""
    with gzip.open(FRAMES / "binance-usdm-btcusdt-20240808.gz", "rt") as file:
        for line in file:
            at, _, text = line.partition(" ")
            frame = json.loads(text)
            stream, data = frame.get("stream", ""), frame.get("data", {})
            if stream.endswith("@bookTicker"):
                sides = [
                    [(int(Decimal(data[price]) * 10), int(Decimal(data[size]) * 1000))]
                    for price, size in (("b", "B"), ("a", "A"))
                ]
                yield "book", int(at), data["T"] * MS - AHEAD_NS, *sides
            elif stream.endswith("@trade") and data["X"] == "MARKET":
                price, size = int(Decimal(data["p"]) * 10), int(Decimal(data["q"]) * 1000)
                yield "trade", int(at), data["T"] * MS - AHEAD_NS, price, size, -1 if data["m"] else 1


class Straight:
    """The market maker as a loop over what it is told: reports that are known, then a book."""

    def __init__(self, venue: StraightVenue, size: int) -> None:
        self.venue, self.size = venue, size
        self.read = 0
        self.held = 0
        self.live: dict[int, list[Any]] = {}  # by side: name, limit, size left, whether it is being canceled
        self.sent: list[tuple[Any, ...]] = []

    def run(self, market: Market) -> None:
        for event in market:
            now = event[1]
            self.venue.wait(now)
            self.learn(now)
            self.venue.happen(event)
            if event[0] == "book" and event[3] and event[4]:
                self.quote(now, event[3][0][0], event[4][0][0])

    def learn(self, now: int) -> None:
        while self.read < len(self.venue.reports) and self.venue.reports[self.read][0] <= now:
            _, kind, name, _, _, size = self.venue.reports[self.read]
            self.read += 1
            side = next((one for one, order in self.live.items() if order[0] == name), 0)
            if kind == "filled":
                self.held += size * (1 if name.startswith("buy") else -1)
                self.live[side][2] -= size
            if kind in ("canceled", "rejected") or (kind == "filled" and not self.live[side][2]):
                del self.live[side]

    def quote(self, now: int, bid: int, ask: int) -> None:
        before = dict(self.live)
        for side, name, price, wanted in (
            (1, "buy", bid, self.held <= 0),
            (-1, "sell", ask, self.held >= 0),
        ):
            if side not in before and wanted:
                size = abs(self.held) or self.size
                order = [f"{name}{len(self.sent)}", price, size, False]
                self.live[side] = order
                self.send(("submit", now, order[0], side, size, price, "Alo"))
        for side, order in before.items():
            best, wanted = (bid, self.held <= 0) if side > 0 else (ask, self.held >= 0)
            if not order[3] and (not wanted or order[1] != best):
                order[3] = True
                if not self.ends(order, now):
                    self.send(("cancel", now, order[0]))

    def ends(self, order: list[Any], now: int) -> bool:
        """Whether a report of this very moment ends an order: then its cancel is not sent any more."""
        last = [one for one in self.venue.reports[self.read :] if one[0] == now and one[2] == order[0]]
        filled = sum(one[5] for one in last if one[1] == "filled")
        return filled == order[2] or any(one[1] in ("canceled", "rejected") for one in last)

    def send(self, command: tuple[Any, ...]) -> None:
        self.sent.append(command)
        self.venue.send(command)


def quoter(folder: Path) -> type[Strategy]:
    """Return the strategy of the page."""
    (block,) = [one for one in blocks(ROOT / "docs" / "backtesting.md") if one.file == "quoter.py"]
    found = loaded(folder, block.text, "Quoter")
    found.__module__ = __name__
    return found


def as_event(one: tuple[Any, ...], quotes: bool) -> Event:
    kind, at, venue_ns, *rest = one
    if kind == "trade":
        return Trade(at, venue_ns, 1, *rest)
    if quotes:
        (bid,), (ask,) = rest
        return Quote(at, venue_ns, 1, *bid, *ask)
    sides = (tuple((price, size, 1) for price, size in side) for side in rest)
    return BookRead(at, venue_ns, 1, *sides)


def engine_run(folder: Path, market: Market, scales: tuple[int, int], size: str, **simulated: Any) -> Memory:
    quotes = all(len(one[3]) == 1 for one in market if one[0] == "book")
    config = Config(
        strategies=(StrategyConfig(use="docs:Quoter", params={"size": size}),),
        bars=BarsConfig(("1m",)),
        risk=RiskConfig(
            max_orders_per_minute=1_000_000,
            max_order_notional="1000000000",
            max_position_notional="1000000000",
        ),
        paper=PaperConfig(slippage_bps=0, taker_fee="0", maker_fee="0"),
        account=AccountConfig(cash="100000000"),
        simulated=SimulatedConfig(**simulated),
    )
    cls = quoter(folder)
    memory = Memory()
    builder = SessionBuilder(lambda _: cls, "0" * 16, "0.0.test")
    first = market[0][1]
    listed = InstrumentListed(first, 1, "x", "BTC", *scales, rules=MarketRules())
    started = builder.start(recv_ns=first, session="00000000000000aa", mode="backtest", config=config)
    sequencer = Sequencer(builder, memory, memory)
    sequencer.run([started, listed])
    for at in range(0, len(market), 500):
        sequencer.run([as_event(one, quotes) for one in market[at : at + 500]])
    assert not sequencer.failures
    return memory


def compare(
    folder: Path,
    market: Market,
    scales: tuple[int, int],
    size: int,
    order_ms: int,
    answer_ms: int,
    queue: str,
) -> Straight:
    """Run both, compare everything, and return the simulation."""
    name, _, power = queue.partition(" ")
    unit = 10 ** scales[1]
    venue = StraightVenue(order_ms * MS, answer_ms * MS, name, int(power or 0), unit=unit)
    straight = Straight(venue, size)
    straight.run(market)
    memory = engine_run(
        folder,
        market,
        scales,
        f"{Decimal(size) / unit}",
        order_ms=f"{order_ms}",
        answer_ms=f"{answer_ms}",
        queue=queue,
    )
    last = market[-1][1]
    events = [event for _, _, event in memory.all()]
    names: dict[str, str] = {}
    sent: list[tuple[Any, ...]] = []
    for event in events:
        if isinstance(event, SubmitOrder):
            names[event.client_order_id] = f"{'buy' if event.terms.side > 0 else 'sell'}{len(sent)}"
            terms = event.terms
            name = names[event.client_order_id]
            sent.append(("submit", event.at_ns, name, terms.side, terms.size, terms.limit, terms.tif))
        elif isinstance(event, CancelOrder):
            sent.append(("cancel", event.at_ns, names[event.client_order_id]))
    assert sent == straight.sent
    kinds = {OrderFilled: "filled", OrderCanceled: "canceled", OrderRejected: "rejected"}
    found = [
        (
            event.recv_ns,
            kinds[type(event)],
            names[event.client_order_id],
            event.venue_ns,
            getattr(event, "price", 0),
            getattr(event, "size", getattr(event, "remaining", 0)),
        )
        for event in events
        if isinstance(event, OrderFilled | OrderCanceled | OrderRejected)
    ]
    expected = [one for one in venue.reports if one[1] != "accepted" and one[0] <= last]
    assert found == expected
    fills = [event for event in events if isinstance(event, OrderFilled)]
    reported = [one for one in expected if one[1] == "filled"]
    cash = sum(one[4] * one[5] * (-1 if one[2].startswith("buy") else 1) for one in reported)
    assert -sum(one.side * one.price * one.size for one in fills) == cash
    return straight


def test_the_market_maker_on_books_of_hyperliquid_equals_a_straight_line(tmp_path: Path) -> None:
    straight = compare(tmp_path, hyperliquid(), (0, 5), 1000, 20, 30, "back")
    assert len(straight.sent) >= 4


@pytest.mark.parametrize("queue", ["back", "power3 3", "log"])
def test_the_market_maker_on_quotes_of_binance_equals_a_straight_line(tmp_path: Path, queue: str) -> None:
    market = [one for _, one in zip(range(pick(6_000, deep=87_000)), binance(), strict=False)]
    straight = compare(tmp_path, market, (1, 3), 10, 9, 13, queue)
    filled = [one for one in straight.venue.reports if one[1] == "filled"]
    assert len(filled) > 5
    assert len(straight.sent) > 20

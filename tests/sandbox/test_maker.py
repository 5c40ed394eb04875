"""The calm synthetic market: resting orders on both sides fill within seconds, and the price stays put."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.exchange.grid import above, below
from adapters.exchange.market import PROFILES
from adapters.sandbox.market import SyntheticMarket
from adapters.sandbox.server import Sandbox, SandboxOptions
from engine.clock import SECOND_NS
from engine.errors import UsageError
from engine.events import Quote, Trade
from engine.values import BUY, SELL
from tests.profiles import examples

from .exchange.kit import ALICE, ALO, orders, post, signed, statuses, wire
from .kit import START_NS, ask, connected, receive_until, running, send

MINUTE_NS = 60 * SECOND_NS


def play(name: str, seed: int, minutes: int) -> Iterator[Trade | Quote]:
    market = SyntheticMarket(seed, (name,), calm=True)
    end_ns = START_NS + minutes * MINUTE_NS
    return takewhile(lambda event: event.venue_ns < end_ns, market.events(START_NS))


def waiting_times(name: str, *, steps: int, minutes: int = 20) -> dict[int, list[float]]:
    """Return the waiting times (s) by side of orders placed `steps` behind the best price every five seconds.

    An order counts as filled when a trade is beyond its price or the opposite best price reaches it.
    """
    scale = PROFILES[name].price_scale
    found: dict[int, list[float]] = {BUY: [], SELL: []}
    resting: list[tuple[int, int, int]] = []
    due_ns = START_NS
    for event in play(name, 1, minutes):
        if isinstance(event, Quote):
            reached = {BUY: event.ask - 1, SELL: event.bid + 1}
        else:
            reached = {BUY: event.price, SELL: event.price}
        for order in list(resting):
            side, price, since_ns = order
            if (price - reached[side]) * side > 0:
                found[side].append((event.venue_ns - since_ns) / SECOND_NS)
                resting.remove(order)
        if isinstance(event, Quote) and event.venue_ns >= due_ns:
            due_ns = event.venue_ns + 5 * SECOND_NS
            bid_price, ask_price = event.bid, event.ask
            for _ in range(steps):
                bid_price, ask_price = below(bid_price, scale, figures=5), above(ask_price, scale, figures=5)
            resting += [(BUY, bid_price, event.venue_ns), (SELL, ask_price, event.venue_ns)]
    for side, _, _ in resting:
        found[side].append(minutes * 60.0)
    return {side: sorted(times) for side, times in found.items()}


@pytest.mark.parametrize("name", ["BTC", "ETH", "PURR", "DOGE"])
def test_resting_orders_fill_on_both_sides_within_seconds(name: str) -> None:
    for times in waiting_times(name, steps=2).values():
        assert len(times) > 100
        assert 0.2 < times[len(times) // 2] < 5
        assert times[len(times) * 9 // 10] < 60


@given(st.integers(0, 2**64), st.sampled_from(sorted(PROFILES)))
@examples(0.08)
def test_the_price_stays_near_its_start(seed: int, name: str) -> None:
    prices = [event.price for event in play(name, seed, 30) if isinstance(event, Trade)]
    assert max(prices) - min(prices) < prices[0] // 100
    assert len(prices) > 30 * 60


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_takers_buy_and_sell_and_the_quote_is_never_crossed(name: str) -> None:
    quote: Quote | None = None
    bought = sold = 0
    for event in play(name, 2, 10):
        if isinstance(event, Quote):
            assert 0 < event.bid < event.ask
            quote = event
            continue
        assert quote is not None
        assert event.price == (quote.ask if event.aggressor == BUY else quote.bid)
        bought += event.aggressor == BUY
        sold += event.aggressor == SELL
    assert min(bought, sold) > (bought + sold) / 3


async def test_resting_orders_on_both_sides_fill_as_maker_over_the_wire() -> None:
    options = {"maker": True, "instruments": ("BTC",), "clock": "tape", "speed": 200.0, "history_s": 1.0}
    async with (
        running(None, patience_s=30, accounts=((ALICE, "100000"),), **options) as (sandbox, address),
        connected(address) as socket,
    ):
        await send(socket, "subscribe", type="userFills", user=ALICE)
        assert (await receive_until(socket, "userFills"))["fills"] == []
        left = {"B": Decimal("0.001"), "A": Decimal("0.001")}
        oids = set()
        # An order three ticks from the best price may cross on arrival. It is then refused and sent again.
        for side in ("B", "A"):
            status: dict[str, dict[str, int]] = {}
            while "resting" not in status:
                book = await ask(address, {"type": "l2Book", "coin": "BTC"})
                bid_price, ask_price = (int(Decimal(levels[0]["px"])) for levels in book["levels"])
                price = str(bid_price - 3 if side == "B" else ask_price + 3)
                action = orders(wire(price, "0.001", buy=side == "B", kind=ALO))
                answer = (await post(address, signed(action, sandbox.now_ms))).json()
                status = statuses(answer)[0]
            oids.add(status["resting"]["oid"])
        while any(left.values()):
            for fill in (await receive_until(socket, "userFills"))["fills"]:
                assert fill["oid"] in oids
                assert not fill["crossed"]
                left[fill["side"]] -= Decimal(fill["sz"])


def test_maker_is_refused_with_a_recorded_day(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--maker"):
        Sandbox(SandboxOptions(day=tmp_path, maker=True))

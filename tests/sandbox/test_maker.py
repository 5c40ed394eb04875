"""The calm market: orders that rest on either side of it are filled within seconds, and it goes nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sandbox.grid import above, below
from adapters.sandbox.market import PROFILES, SyntheticMarket
from adapters.sandbox.server import Sandbox, SandboxOptions
from engine.clock import SECOND_NS
from engine.errors import UsageError
from engine.events import Quote, Trade
from engine.values import BUY, SELL
from tests.profiles import examples

from .exchange.kit import ALICE, ALO, orders, post, signed, statuses, wire
from .kit import START_NS, ask, connected, receive_until, running, send

MINUTE_NS = 60 * SECOND_NS


def play(coin: str, seed: int, minutes: int) -> Iterator[Trade | Quote]:
    market = SyntheticMarket(seed, (coin,), calm=True)
    end_ns = START_NS + minutes * MINUTE_NS
    return takewhile(lambda event: event.venue_ns < end_ns, market.events(START_NS))


def waits(coin: str, *, steps: int, minutes: int = 20) -> dict[int, list[float]]:
    """How long (s) an order waits, by side, that is put `steps` behind the touch every five seconds.

    It counts as filled when a print goes through it or the other side of the touch reaches it.
    """
    scale = PROFILES[coin].price_scale
    found: dict[int, list[float]] = {BUY: [], SELL: []}
    resting: list[tuple[int, int, int]] = []
    due_ns = START_NS
    for event in play(coin, 1, minutes):
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
            bid, offer = event.bid, event.ask
            for _ in range(steps):
                bid, offer = below(bid, scale), above(offer, scale)
            resting += [(BUY, bid, event.venue_ns), (SELL, offer, event.venue_ns)]
    for side, _, _ in resting:
        found[side].append(minutes * 60.0)
    return {side: sorted(times) for side, times in found.items()}


@pytest.mark.parametrize("coin", ["BTC", "ETH", "PURR", "DOGE"])
def test_orders_behind_the_touch_fill_on_both_sides_within_seconds(coin: str) -> None:
    for times in waits(coin, steps=2).values():
        assert len(times) > 100
        assert 0.2 < times[len(times) // 2] < 5
        assert times[len(times) * 9 // 10] < 60


@given(st.integers(0, 2**64), st.sampled_from(sorted(PROFILES)))
@examples(0.08)
def test_the_price_stays_where_it_began(seed: int, coin: str) -> None:
    prices = [event.price for event in play(coin, seed, 30) if isinstance(event, Trade)]
    assert max(prices) - min(prices) < prices[0] // 100
    assert len(prices) > 30 * 60


@pytest.mark.parametrize("coin", sorted(PROFILES))
def test_takers_come_from_both_sides_and_the_touch_is_never_crossed(coin: str) -> None:
    touch: Quote | None = None
    bought = sold = 0
    for event in play(coin, 2, 10):
        if isinstance(event, Quote):
            assert 0 < event.bid < event.ask
            touch = event
            continue
        assert touch is not None
        assert event.price == (touch.ask if event.aggressor == BUY else touch.bid)
        bought += event.aggressor == BUY
        sold += event.aggressor == SELL
    assert min(bought, sold) > (bought + sold) / 3


async def test_both_sides_of_a_quote_are_filled_as_maker_over_the_wire() -> None:
    options = {"maker": True, "coins": ("BTC",), "clock": "tape", "speed": 200.0, "history_s": 1.0}
    async with (
        running(None, patience_s=30, accounts=((ALICE, "100000"),), **options) as (sandbox, address),
        connected(address) as socket,
    ):
        await send(socket, "subscribe", type="userFills", user=ALICE)
        assert (await receive_until(socket, "userFills"))["fills"] == []
        left = {"B": Decimal("0.001"), "A": Decimal("0.001")}
        oids = set()
        # A price three ticks behind the touch may cross when it arrives; then it is refused and tried again.
        for side in ("B", "A"):
            status: dict[str, dict[str, int]] = {}
            while "resting" not in status:
                book = await ask(address, {"type": "l2Book", "coin": "BTC"})
                bid, offer = (int(Decimal(levels[0]["px"])) for levels in book["levels"])
                price = str(bid - 3 if side == "B" else offer + 3)
                action = orders(wire(price, "0.001", buy=side == "B", kind=ALO))
                answer = (await post(address, signed(action, sandbox.now_ms))).json()
                status = statuses(answer)[0]
            oids.add(status["resting"]["oid"])
        while any(left.values()):
            for fill in (await receive_until(socket, "userFills"))["fills"]:
                assert fill["oid"] in oids
                assert not fill["crossed"]
                left[fill["side"]] -= Decimal(fill["sz"])


def test_a_recorded_day_is_not_made_calm(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--maker"):
        Sandbox(SandboxOptions(day=tmp_path, maker=True))

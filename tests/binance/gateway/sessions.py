"""Random sessions with real orders on Binance, futures and spot. See `tests/venues/sessions.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import trio

from adapters.binance.gateway.keys import Signer
from engine.events import FillBooked, InstrumentListed, OrderFilled
from tests.binance.gateway.kit import API_KEY, BASE_URL, SECRET
from tests.binance.gateway.venue import MemoryVenue, listed_perp, listed_spot
from tests.orders.sandbox import _first
from tests.orders.sandbox_account import CENT, SCALE
from tests.orders.sequences import FIRST_PRICE, NAMES, SIZE_SCALE, Plan
from tests.pacing import VirtualTime, make_clock, pacing
from tests.venues.sessions import MemoryRun

__all__ = ["BinanceRun", "broken_by"]


class BinanceRun(MemoryRun):
    """One session that plays plans on one account of Binance."""

    def __init__(self, plans: list[Plan], root: Path, venue: MemoryVenue) -> None:
        super().__init__(plans, root, venue, BASE_URL, Signer(f"{API_KEY} {SECRET}", "main"))

    async def person(self, number: int) -> None:
        opened = self.venue.ask("GET", "openOrders")
        if opened:
            one = opened[number % len(opened)]
            self.venue.ask("DELETE", "order", {"symbol": one["symbol"], "orderId": str(one["orderId"])})

    def equity(self) -> Decimal:
        return self.venue.trading.matching.equity(self.venue.account)  # type: ignore[no-any-return]

    def open_orders(self) -> list[Any]:
        return [*self.venue.ask("GET", "openOrders"), *self.venue.ask("GET", "openAlgoOrders")]

    def held(self) -> list[Any]:
        return self.venue.ask("GET", "/fapi/v3/positionRisk")  # type: ignore[no-any-return]

    async def transfer(self, amount: Decimal) -> None:
        if amount:
            self.venue.trading.transfer(self.venue.account, amount, self.venue.now_ms)

    def _compare_fills(self, place: str) -> None:
        listed = {one.instrument: one for one in self.memory.events(InstrumentListed)}
        ours = {}
        for fill in self.memory.events(OrderFilled):
            one = listed[fill.instrument]
            fee = Decimal(int(fill.fee)).scaleb(-one.price_scale - one.size_scale - fill.finer)
            price = Decimal(fill.price).scaleb(-one.price_scale - fill.finer)
            ours[one.name, fill.trade_id] = (fill.venue_order_id, price, fill.size, fee)
        theirs = {}
        for done in self.venue.account.trades:
            one = done.order.listed
            price = Decimal(done.price).scaleb(-one.price_scale)
            theirs[one.name, done.number] = (done.order.number, price, done.size, done.fee)
        assert ours == theirs, place + f"fills {set(ours.items()) ^ set(theirs.items())}"


class SpotRun(BinanceRun):
    """The same on spot: what is held are balances, and a stop is an order like others."""

    async def fund(self, wanted: Decimal) -> None:
        await self.transfer((wanted - self.venue.account.balance("USDT")).quantize(CENT))

    async def others(self, market: int, side: int, size: int, *, closes: bool = False) -> None:
        await super().others(market, side, size)  # nothing only reduces

    async def _compare(self, plan: Plan) -> None:
        place = f"plan {plan.number}: "
        assert self._live() == [], place + "an order is live"
        assert self.venue.ask("GET", "openOrders") == [], place + "an order is open at the venue"
        books = self._books(strategies=True)
        assert not any(books.values()), place + f"the strategies hold {books}"
        for market, name in NAMES.items():
            held = self.venue.account.balance(name)
            found = Decimal(self._books()[market]).scaleb(-SIZE_SCALE[market]) + self._left_over(market)
            assert found == held, place + f"{name}: books and what fees left of a step {found}, held {held}"
        self._compare_fills(place)

    def _left_over(self, market: int) -> Decimal:
        """Return what no book has: fees take whole steps from books, and what was read was not traded."""
        left = Decimal(0)
        for one in self.memory.events(FillBooked):
            if one.instrument == market:
                size = Decimal(int(one.size)).scaleb(-SIZE_SCALE[market])
                if one.cause in ("fee", "flat", "position read", "taken back"):
                    left -= one.side * size
                elif one.fee_asset:
                    scale = SCALE[market] + SIZE_SCALE[market] + one.finer
                    left -= Decimal(int(one.fee)).scaleb(-scale)
        return left


@asynccontextmanager
async def running(plans: list[Plan], root: Path, *, spot: bool) -> AsyncIterator[BinanceRun]:
    """Run a venue in memory with an account for these plans, and a session."""
    # So small a value that no position is too small to be closed against what others hold.
    lists = listed_spot if spot else listed_perp
    listed = [lists(number, name, SCALE[number], SIZE_SCALE[number], "0.1") for number, name in NAMES.items()]
    time = VirtualTime()
    async with pacing(), trio.open_nursery() as nursery:
        cash, seed = plans[0].settings.cash, plans[0].number
        venue = MemoryVenue(nursery, listed, time.time_ns, spot=spot, cash=cash, seed=seed)
        run = (SpotRun if spot else BinanceRun)(plans, root, venue)
        for market, price in FIRST_PRICE.items():
            run.deep(market, price)
        yield run
        nursery.cancel_scope.cancel()


def broken_by(plans: list[Plan], *, spot: bool = False) -> tuple[tuple[str, str] | None, BinanceRun]:
    """Play plans in one session outside of a test; return the rule they break, its words, and the session."""
    begun: list[BinanceRun] = []

    async def main(root: Path) -> None:
        async with running(plans, root, spot=spot) as run:
            begun.append(run)
            await run.play()
        run.verify()

    found: tuple[str, str] | None = None
    with TemporaryDirectory() as folder, patch("engine.clock.time", VirtualTime()):
        try:
            trio.run(main, Path(folder), clock=make_clock())
        except* Exception as group:
            found = _first(group)
    return found, begun[0]

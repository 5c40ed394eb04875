"""Random sessions with real orders on Lighter: the real gateway against the sandbox's accounts.

The sessions are those of `tests/orders/sandbox.py`, with another venue, and the same rests: strategies flat,
no order open at the venue, fills, fees and money as the venue has them, the model follows, and the records
are derived again. Signatures are made and checked elsewhere: here they are empty, which saves most of the
time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import trio

from adapters.lighter.schnorr import PublicKey, Signature
from adapters.transport.gateway import RECONCILE_S
from engine.events import InstrumentListed, OrderFilled
from tests.lighter.gateway.venue import ACCOUNT, BASE_URL, MemoryVenue, listed_perp, signer
from tests.orders.sandbox import _first
from tests.orders.sandbox_account import SCALE
from tests.orders.sequences import FIRST_PRICE, NAMES, SIZE_SCALE, Plan
from tests.pacing import VirtualTime, make_clock, pacing
from tests.venues.sessions import MemoryRun

__all__ = ["LighterRun", "broken_by"]


class LighterRun(MemoryRun):
    """One session that plays plans on one account of Lighter."""

    venue: MemoryVenue
    account = str(ACCOUNT)

    def __init__(self, plans: list[Plan], root: Path, venue: MemoryVenue) -> None:
        super().__init__(plans, root, venue, BASE_URL, signer())

    async def person(self, number: int) -> None:
        """Cancel an order as a person does on the venue's page."""
        opened = list(self.venue.account.orders.values())
        if opened:
            one = opened[number % len(opened)]
            self.venue.act("cancel", {"MarketIndex": one.market, "Index": one.number})

    async def transfer(self, amount: Decimal) -> None:
        if amount:
            self.venue.trading.transfer(self.venue.account, amount, self.venue.now_ms)

    def equity(self) -> Decimal:
        return self.venue.trading.matching.equity(self.venue.account)

    def open_orders(self) -> list[Any]:
        return list(self.venue.account.orders.values())

    def held(self) -> list[Any]:
        return [one for one in self.venue.account.positions.values() if one.size]

    async def _compare(self, plan: Plan) -> None:
        # No channel shows a transfer: it is in the account's next reading.
        await trio.sleep(RECONCILE_S + 1)
        await super()._compare(plan)

    def _compare_fills(self, place: str) -> None:
        listed = {one.instrument: one for one in self.memory.events(InstrumentListed)}
        ours = {}
        for fill in self.memory.events(OrderFilled):
            one = listed[fill.instrument]
            fee = Decimal(int(fill.fee)).scaleb(-one.price_scale - one.size_scale - fill.finer)
            ours[one.name, fill.trade_id] = (fill.venue_order_id, fill.price, fill.size, fee)
        theirs = {
            (done.order.listed.name, done.number): (done.order.number, done.price, done.size, done.fee)
            for done in self.venue.account.trades
        }
        assert ours == theirs, place + f"fills {set(ours.items()) ^ set(theirs.items())}"


@contextmanager
def unsigned() -> Iterator[None]:
    """Leave signatures out, which cost 15 ms a transaction."""
    with (
        patch("adapters.lighter.signing.sign", lambda _, __: Signature(0, 0)),
        patch.object(PublicKey, "verifies", lambda _, __, ___: True),
    ):
        yield


@asynccontextmanager
async def running(plans: list[Plan], root: Path) -> AsyncIterator[LighterRun]:
    """Run a venue in memory with an account for these plans, and a session."""
    # So small a value that no position is too small to be closed against what others hold.
    listed = [
        listed_perp(number, name, SCALE[number], SIZE_SCALE[number], "0.1") for number, name in NAMES.items()
    ]
    time = VirtualTime()
    async with pacing(), trio.open_nursery() as nursery:
        cash, seed = plans[0].settings.cash, plans[0].number
        venue = MemoryVenue(nursery, listed, time.time_ns, cash=cash, seed=seed)
        run = LighterRun(plans, root, venue)
        for market, price in FIRST_PRICE.items():
            run.deep(market, price)
        yield run
        nursery.cancel_scope.cancel()


def broken_by(plans: list[Plan]) -> tuple[tuple[str, str] | None, LighterRun]:
    """Play plans in one session outside of a test; return the rule they break, its words, and the session."""
    begun: list[LighterRun] = []

    async def main(root: Path) -> None:
        async with running(plans, root) as run:
            begun.append(run)
            await run.play()
        run.verify()

    found: tuple[str, str] | None = None
    with TemporaryDirectory() as folder, patch("engine.clock.time", VirtualTime()), unsigned():
        try:
            trio.run(main, Path(folder), clock=make_clock())
        except* Exception as group:
            found = _first(group)
    return found, begun[0]

"""Random sessions with real orders on a venue in memory: the real gateway, the accounts of the sandbox.

The sessions are those of `tests/orders/sandbox.py`, with another venue, and the same rests: strategies flat,
no order open at the venue, fills, fees and money as the venue has them, the model follows, and the records
are derived again. A venue's tests derive from it.
"""

from __future__ import annotations

from abc import abstractmethod
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import trio

from engine.commands.planning import LiveOptions, make_plan
from engine.config import Config, DataConfig, VenueConfig
from engine.errors import VenueUnreachable
from engine.events import AccountAdjusted, EquityMarked
from engine.runtime.live import Live
from engine.values import format_scaled
from engine.venue import Signer
from tests.orders.sandbox import SandboxRun
from tests.orders.sandbox_account import CENT
from tests.orders.sequences import NAMES, SIZE_SCALE, STRATEGIES, Plan
from tests.orders.settings import config_of
from tests.pacing import START_NS
from tests.venues.memory import MemoryVenue

__all__ = ["MemoryRun"]


class MemoryRun(SandboxRun):
    """One session that plays plans on one account. `sandbox` is the venue in memory."""

    venue: Any
    account = "main"

    def __init__(
        self, plans: list[Plan], root: Path, venue: MemoryVenue, base_url: str, signer: Signer
    ) -> None:
        super().__init__(plans, root, venue, base_url)  # type: ignore[arg-type]
        self.venue = venue
        self.signer = signer

    # ---- implemented by a venue

    @abstractmethod
    async def person(self, number: int) -> None:
        """Cancel one of the open orders, if there are any, as a person does on the venue's page."""

    @abstractmethod
    def equity(self) -> Decimal:
        """Return the account's equity at the venue."""

    @abstractmethod
    def open_orders(self) -> list[Any]:
        """Return the orders that are open at the venue, stops included."""

    @abstractmethod
    def held(self) -> list[Any]:
        """Return the positions of the account."""

    @abstractmethod
    def _compare_fills(self, place: str) -> None: ...

    # ---- the same for all

    async def _begin(self) -> None:
        options = LiveOptions(config=self.config, root=self.root, venue=self.venue, signer=self.signer)
        while True:
            try:
                plan = await make_plan(options, self.base_url)
            except VenueUnreachable:  # a fault
                await trio.sleep(1)
                continue
            self.live = Live(plan, lambda _: None)
            self._scope, self._ended = trio.CancelScope(), trio.Event()
            self._refused = False
            self._nursery.start_soon(self._run, self.live)
            await trio.sleep(1)
            if not self._refused:
                return
            options = msgspec.structs.replace(options, fresh=STRATEGIES)

    def _config(self) -> Config:
        scripts: dict[str, str] = dict(self.spoken)
        return msgspec.structs.replace(
            config_of(self.settings, scripts, START_NS),
            mode="live",
            venue=VenueConfig(network="sandbox", account=self.account, answer_ms=1000, expires_ms=3000),
            data=DataConfig(warmup_bars=0, check_minutes=0, channels=()),
        )

    # Others.

    async def others(self, market: int, side: int, size: int, *, closes: bool = False) -> None:
        self.venue.others(NAMES[market], side, format_scaled(size, SIZE_SCALE[market]), closes=closes)

    async def _venue(self, market: int, kind: str, *values: Any) -> None:
        if kind == "person":
            await self.person(values[0])
        else:
            await super()._venue(market, kind, *values)

    async def fund(self, wanted: Decimal) -> None:
        await self.transfer((wanted - self.equity()).quantize(CENT))

    # The rest.

    async def _compare(self, plan: Plan) -> None:
        place = f"plan {plan.number}: "
        assert self._live() == [], place + "an order is live"
        assert self.open_orders() == [], place + "an order is open at the venue"
        books = self._books(strategies=True)
        assert not any(books.values()), place + f"the strategies hold {books}"
        assert self.held() == [], place + f"the account holds {self.held()}"
        marked = self.memory.events(EquityMarked)[-1]
        equity = Decimal(int(marked.equity)).scaleb(-marked.scale)
        value = self.equity()
        assert abs(equity - value) < CENT, place + f"equity {equity}, venue {value}"
        unexplained = [one for one in self.memory.events(AccountAdjusted) if one.reason == "unexplained"]
        assert not unexplained, place + str(unexplained[0])
        self._compare_fills(place)

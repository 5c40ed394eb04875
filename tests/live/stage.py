"""A market that the test moves by hand, an account on it, and strategies that act on the test's signals.

    async with staged() as stage:
        async def script(live: Live) -> None:
            await stage.signal(1)                 # the strategies' script says what they do
            await stage.price(97)
            await stage.others("sell", "0.2")     # somebody else, with the account's key
        await stage.trade(root, {"Long": "1: target 1"}, script)

The gateway, the exchange and everything between them are real. A signal is a trade of so many steps at the
present price; `traders.Signaled` runs the calls that its script has for this number. The best bid and ask are
the same price, so that a market order trades exactly there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import trio
from eth_account import Account as EthAccount
from hyperliquid.utils.signing import sign_usd_transfer_action

from adapters.exchange.tape import Tape
from adapters.sandbox.server import Sandbox, SandboxOptions
from engine.config import BarsConfig, Config, DataConfig, RiskConfig, StrategyConfig, VenueConfig
from engine.events import FillBooked, InstrumentListed, PositionChanged, Quote, SubmitOrder, Trade
from engine.runtime.live import Live
from engine.runtime.notices import Notice
from engine.runtime.plan import LiveResult
from engine.values import BUY, SELL, format_scaled
from tests.live.kit import ACCOUNT, KEY, Venue, assert_replays, of, trade
from tests.loopback import http_client
from tests.pacing import START_NS, pacing
from tests.sandbox.exchange.kit import signed

__all__ = ["Stage", "books", "fills", "orders", "staged"]

BTC = InstrumentListed(START_NS, 1, "sandbox", "BTC", price_scale=2, size_scale=3)
BANK_KEY = "0x" + "08" * 32
BANK = str(EthAccount.from_key(BANK_KEY).address).lower()
DEPTH = 1_000_000
MOMENT_S = 0.5
"""Longer than every step of an order: from a trade to the fill of the order that it caused."""


class Stage(Venue):
    """The sandbox and its market. Times are virtual: waiting costs nothing."""

    def __init__(self, sandbox: Sandbox, base_url: str) -> None:
        super().__init__(sandbox, base_url)
        self.at = 100 * 100
        self.said: list[str] = []  # by sessions, to people
        self._trades = 0
        self._nonce = 0

    # The market.

    def quote(
        self, bid: float | Decimal, ask: float | Decimal, *, bid_size: int = DEPTH, ask_size: int = DEPTH
    ) -> None:
        """Set the best bid and ask; sizes are in steps of 0.001. A bid of 0: there is none."""
        now = self._now_ns()
        bid_size = bid_size if bid else 0
        self.sandbox.play(Quote(now, now, 1, round(bid * 100), bid_size, round(ask * 100), ask_size))

    def print(self, price: float | Decimal, size: int = 900_000, *, side: int = SELL) -> None:
        """Play a trade; its size, in steps, is no signal by default."""
        now = self._now_ns()
        self._trades += 1
        self.sandbox.play(Trade(now, now, 1, round(price * 100), size, side, self._trades))

    async def price(self, price: float | Decimal) -> None:
        """Move the market, and wait until everything that follows is done."""
        side = BUY if price * 100 >= self.at else SELL
        self.at = round(price * 100)
        self.quote(price, price)
        self.print(price, side=side)
        await self.wait()

    async def signal(self, number: int, *, wait: bool = True) -> None:
        """Let the strategies make the calls that their scripts have for a number."""
        self.print(self.at / 100, number)
        if wait:
            await self.wait()

    async def wait(self, seconds: float = MOMENT_S) -> None:
        await trio.sleep(seconds)

    # Somebody else on the account.

    async def others(self, side: str, size: str, **more: Any) -> Any:
        """Trade at market with the account's key, as another program does; return the status."""
        beyond = self.at * 3 // 2 if side == "buy" else self.at // 2
        return await self.order(side, size, price=format_scaled(beyond, 2), **more)

    async def order(
        self, side: str, size: str, *, price: str, tif: str = "Ioc", wait: bool = True, **more: Any
    ) -> Any:
        """Place an order with the account's key."""
        wire = {"a": 0, "b": side == "buy", "p": price, "s": size, "r": False, "t": {"limit": {"tif": tif}}}
        action = {"type": "order", "orders": [{**wire, **more}], "grouping": "na"}
        answer = await self._exchange(signed(action, self.nonce(), KEY))
        assert answer["status"] == "ok", answer
        (status,) = answer["response"]["data"]["statuses"]
        if wait:
            await self.wait()
        return status

    async def cancel(self, oid: int) -> None:
        """Cancel an order with the account's key, as a person does at the venue."""
        action = {"type": "cancel", "cancels": [{"a": 0, "o": oid}]}
        answer = await self._exchange(signed(action, self.nonce(), KEY))
        assert answer["response"]["data"]["statuses"] == ["success"]
        await self.wait()

    async def deposit(self, amount: str) -> None:
        """Send money to the account from another one."""
        nonce = self.nonce()
        action = {"type": "usdSend", "destination": ACCOUNT, "amount": amount, "time": nonce}
        signature = sign_usd_transfer_action(EthAccount.from_key(BANK_KEY), action, False)
        answer = await self._exchange({"action": action, "nonce": nonce, "signature": signature})
        assert answer["status"] == "ok", answer
        await self.wait()

    def nonce(self) -> int:
        """Return a nonce that no other action of the key has."""
        self._nonce = max(self._nonce + 1, self.sandbox.now_ms + 3_600_000)
        return self._nonce

    async def _exchange(self, body: dict[str, Any]) -> Any:
        async with http_client() as client:
            answer = await client.post(f"{self.base_url}/exchange", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _now_ns(self) -> int:
        return self.sandbox.now_ms * 1_000_000

    # What the account holds.

    async def position(self) -> Decimal:
        """Return the account's position."""
        return (await self.positions()).get("BTC", Decimal(0))

    async def equity(self) -> Decimal:
        """Return the account's value."""
        state = await self.ask("clearinghouseState")
        return Decimal(state["marginSummary"]["accountValue"])

    # The session.

    async def trade(
        self,
        root: Path,
        scripts: dict[str, str],
        script: Callable[[Live], Awaitable[None]],
        *,
        venue: dict[str, Any] | None = None,
        risk: dict[str, Any] | None = None,
        paper: bool = False,
        **options: Any,
    ) -> LiveResult:
        """Run a session of strategies with these scripts; see `kit.trade`."""
        settings = staged_config(scripts, venue or {}, risk or {})
        if paper:
            settings = msgspec.structs.replace(settings, mode="paper")

        async def begin(live: Live) -> None:
            await self.wait(1.0)
            await script(live)
            await self.wait()

        def notify(notice: Notice) -> None:
            if notice.level == "error" or notice.state in ("adjusted", "reset"):
                self.said.append(f"{notice.name} {notice.state} {notice.detail}")

        result = await trade(root, self, settings, begin, paper=paper, notify=notify, **options)
        assert_replays(root)
        return result


def staged_config(scripts: dict[str, str], venue: dict[str, Any], risk: dict[str, Any]) -> Config:
    """Return a configuration for real orders on the stage."""
    strategies = tuple(
        StrategyConfig(use="tests.live.traders:Signaled", name=name, params={"script": script})
        for name, script in scripts.items()
    )
    return Config(
        mode="live",
        strategies=strategies,
        bars=BarsConfig(intervals=("1m",)),
        risk=RiskConfig(**{"max_orders_per_minute": 0, **risk}),
        data=DataConfig(warmup_bars=0, check_minutes=0, channels=("activeAssetCtx",)),
        venue=VenueConfig(network="sandbox", account=ACCOUNT, **venue),
    )


@asynccontextmanager
async def staged(cash: str = "1000", **options: Any) -> AsyncIterator[Stage]:
    """Run a sandbox with a market at 100 that stands still."""

    def opening(shift_ns: int) -> Any:
        now = START_NS + shift_ns
        yield Trade(now, now, 1, 100 * 100, 900_000, BUY, 1 << 40)
        yield Quote(now, now, 1, 100 * 100, DEPTH, 100 * 100, DEPTH)

    tape = Tape([BTC], START_NS, opening)
    chosen = {
        "port": 0,
        "accounts": ((ACCOUNT, cash), (BANK, "1000000")),
        "rate_limit": False,
        **options,
    }
    sandbox = Sandbox(SandboxOptions(**chosen), tape)
    async with pacing(), trio.open_nursery() as nursery:
        address = await nursery.start(sandbox.serve)
        yield Stage(sandbox, address.base_url)
        nursery.cancel_scope.cancel()


# What the journal says.


def books(root: Path) -> dict[str, Decimal]:
    """Return the books that are not flat, by owner."""
    last = {one.strategy: one.size for one in of(PositionChanged, root)}
    return {owner: Decimal(format_scaled(size, 3)) for owner, size in last.items() if size}


def fills(root: Path) -> list[tuple[str, Decimal, Decimal]]:
    """Return (owner, signed size, price) of every booked fill."""
    return [
        (
            one.owner,
            Decimal(format_scaled(one.side * one.size, 3)),
            Decimal(format_scaled(one.price, 2 + one.finer)),
        )
        for one in of(FillBooked, root)
    ]


def orders(root: Path) -> list[tuple[str, str, int]]:
    """Return (owner, purpose, signed size in steps) of every order that was sent."""
    return [
        (one.strategy, one.terms.purpose, one.terms.side * one.terms.size) for one in of(SubmitOrder, root)
    ]

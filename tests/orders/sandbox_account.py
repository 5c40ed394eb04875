"""An account on the sandbox for random sessions: its market, and what others do on the account.

Base of `sandbox.SandboxRun`. Prices are in steps of the plans' grid; the venue's is finer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import httpx
import trio
from eth_account import Account as EthAccount
from hyperliquid.utils.signing import sign_usd_transfer_action

from adapters.sandbox.server import Sandbox
from engine.actors.orders.command_state import Answer
from engine.events import Quote, Trade
from engine.runtime.live import Live
from engine.values import BUY, format_scaled
from tests.live.kit import ACCOUNT, KEY
from tests.loopback import http_client
from tests.orders.sequences import FIRST_PRICE, NAMES, PRICE_SCALE, SIZE_SCALE, UNIT
from tests.orders.session import MS, tuned_of
from tests.sandbox.exchange.kit import signed

__all__ = ["BANK", "CENT", "FINER", "SCALE", "SandboxAccount"]

BANK_KEY = "0x" + "08" * 32
BANK = str(EthAccount.from_key(BANK_KEY).address).lower()

SCALE = {market: 6 - SIZE_SCALE[market] for market in NAMES}
"""Decimals of prices at the venue, of which five figures count. Plans have fewer."""

FINER = {market: 10 ** (SCALE[market] - PRICE_SCALE[market]) for market in NAMES}

CENT = Decimal("0.01")


class SandboxAccount:
    """The account and its market. A fault may hit what others send, like everything else."""

    live: Live

    def __init__(self, sandbox: Sandbox, base_url: str) -> None:
        self.sandbox = sandbox
        self.base_url = base_url
        self.client = http_client()
        self._prices: dict[int, int] = {}
        self._trades = 0
        self._nonce = 0

    # What the engine knows.

    def answers(self) -> dict[str, Answer]:
        """Return the answers to operators' commands that the engine knows at the end, by nonce."""
        return self.live._manager().answers

    def tuned(self) -> dict[str, str]:
        """Return the parameter that operators set, of each strategy where it is not its default."""
        return tuned_of(self.live.sequencer)

    # The market.

    def price(self, market: int) -> int:
        """Return the last price of a market."""
        return self._prices.get(market, FIRST_PRICE[market])

    def deep(self, market: int, price: int) -> None:
        """Make the price of a market fresh and deep."""
        size, spread = UNIT[market] * 1000, max(1, price // 2000)
        self.quote(market, price - spread, size, price + spread, size)
        self.trade(market, price, size, BUY)

    def quote(self, market: int, bid: int, bid_size: int, ask: int, ask_size: int) -> None:
        now, finer = self._now_ns(), FINER[market]
        self.sandbox.play(Quote(now, now, market, bid * finer, bid_size, ask * finer, ask_size))

    def trade(self, market: int, price: int, size: int, side: int) -> None:
        now = self._now_ns()
        self._trades += 1
        self._prices[market] = price
        self.sandbox.play(Trade(now, now, market, price * FINER[market], size, side, self._trades))

    # Others.

    async def others(self, market: int, side: int, size: int, *, closes: bool = False) -> None:
        """Trade at market with the account's key, as another program does; `closes`: reduce-only."""
        price = self.price(market)
        beyond = price * 5 // 4 if side == BUY else price * 4 // 5
        order = {
            "a": market - 1,
            "b": side == BUY,
            "p": _plain(beyond, PRICE_SCALE[market]),
            "s": _plain(size, SIZE_SCALE[market]),
            "r": closes,
            "t": {"limit": {"tif": "Ioc"}},
        }
        await self.act({"type": "order", "orders": [order], "grouping": "na"})

    async def act(self, action: dict[str, Any]) -> None:
        """Send an action with the account's key."""
        await self._send(lambda nonce: signed(action, nonce, KEY))

    async def _send(self, body_of: Callable[[int], dict[str, Any]]) -> None:
        """Send a body with a nonce; with another one if the engine had that."""
        answer: Any = {"response": "nonce"}
        while "nonce" in str(answer["response"]):
            try:
                body = body_of(self._next())
                answer = (await self.client.post(f"{self.base_url}/exchange", json=body)).json()
            except (httpx.HTTPError, ValueError):
                return

    async def fund(self, wanted: Decimal) -> None:
        """Bring the account's value to this amount, from or to another account."""
        state = await self.ask("clearinghouseState")
        missing = wanted - Decimal(state["marginSummary"]["accountValue"])
        await self.transfer(missing.quantize(CENT))

    async def transfer(self, amount: Decimal) -> None:
        if not amount:
            return
        key, to = (BANK_KEY, ACCOUNT) if amount > 0 else (KEY, BANK)

        def body_of(nonce: int) -> dict[str, Any]:
            action = {"type": "usdSend", "destination": to, "amount": str(abs(amount)), "time": nonce}
            signature = sign_usd_transfer_action(EthAccount.from_key(key), action, False)
            return {"action": action, "nonce": nonce, "signature": signature}

        await self._send(body_of)

    async def ask(self, kind: str) -> Any:
        """Return the body of an answer to `/info`."""
        while True:
            with suppress(httpx.HTTPError):
                answer = await self.client.post(f"{self.base_url}/info", json={"type": kind, "user": ACCOUNT})
                if answer.status_code == 200:
                    return answer.json()
            await trio.sleep(0.1)

    def _next(self) -> int:
        """Return a nonce that the engine hardly uses: it is half a second old."""
        self._nonce = max(self._nonce + 1, self.sandbox.now_ms - 500)
        return self._nonce

    def _now_ns(self) -> int:
        return self.sandbox.now_ms * MS


def _plain(value: int, scale: int) -> str:
    """Return a number as the venue takes it: without zeros at the end."""
    return f"{Decimal(format_scaled(value, scale)).normalize():f}"

"""Shared by the tests of the exchange: an exchange without sockets, and signed requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from adapters.hyperliquid.signing import address_of, sign_l1_action
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.exchange import Exchange
from adapters.sandbox.market_state import MarketState
from adapters.sandbox.server import SandboxAddress
from engine.events import InstrumentListed, Quote, Trade
from engine.values import BUY, SELL, parse_scaled
from tests.loopback import http_client
from tests.sandbox.kit import BTC, PURR, START_NS, quote, trade

ALICE_KEY = "0x" + "11" * 32
BOB_KEY = "0x" + "22" * 32
STRANGER_KEY = "0x" + "33" * 32
ALICE, BOB = address_of(ALICE_KEY), address_of(BOB_KEY)
START_MS = START_NS // 1_000_000
MID = "84143.5"

BTC_ID, PURR_ID = 0, 1
GTC = {"limit": {"tif": "Gtc"}}
IOC = {"limit": {"tif": "Ioc"}}
ALO = {"limit": {"tif": "Alo"}}


def trigger(price: str, tpsl: str, *, market: bool = True) -> dict[str, Any]:
    """Return the type of a trigger order."""
    return {"trigger": {"isMarket": market, "triggerPx": price, "tpsl": tpsl}}


def wire(
    price: str,
    size: str,
    *,
    buy: bool = True,
    kind: dict[str, Any] = GTC,
    reduce_only: bool = False,
    cloid: str | None = None,
    asset: int = BTC_ID,
) -> dict[str, Any]:
    """Return an order as clients send it."""
    order: dict[str, Any] = {"a": asset, "b": buy, "p": price, "s": size, "r": reduce_only, "t": kind}
    return order if cloid is None else {**order, "c": cloid}


def orders(*wires: dict[str, Any], grouping: Any = "na") -> dict[str, Any]:
    """Return an order action."""
    return {"type": "order", "orders": list(wires), "grouping": grouping}


class ExchangeDriver:
    """An exchange controlled by a test: quotes, trades, the clock and signed requests."""

    def __init__(
        self,
        accounts: Sequence[tuple[str, str]] = ((ALICE, "100000"), (BOB, "100000")),
        instruments: Sequence[InstrumentListed] = (BTC, PURR),
        **options: Any,
    ) -> None:
        self.market = MarketState(instruments)
        self.exchange = Exchange(self.market, accounts, **options)
        self.now_ms = START_MS
        self._nonce = 0
        self.frames: list[tuple[str, str, Any]] = []
        self.quote("84143", "84144")

    @property
    def alice(self) -> Account:
        return self.exchange.accounts[ALICE]

    @property
    def bob(self) -> Account:
        return self.exchange.accounts[BOB]

    def quote(self, bid: str, ask: str, size: str = "1", *, after_ms: int = 100) -> None:
        """Play a quote of BTC with `size` on both sides."""
        self.now_ms += after_ms
        at_ms = self.now_ms - START_MS
        event = quote(at_ms, parse_scaled(bid, 1), parse_scaled(ask, 1), parse_scaled(size, 5))
        instrument = self.market.by_name["BTC"]
        if instrument.add_quote(event):
            self.exchange.add_quote(event, instrument)
        self._drain()

    def quote_purr(self, bid: int, ask: int) -> None:
        """Play a quote of PURR; prices are in millionths."""
        instrument = self.market.by_name["PURR"]
        event = quote(self.now_ms - START_MS, bid, ask, 100_000, instrument=2)
        instrument.add_quote(event)
        self.exchange.add_quote(event, instrument)

    def one_sided(self, bid: str) -> None:
        """Play a quote of BTC without asks."""
        at_ns = self.now_ms * 1_000_000
        event = Quote(at_ns, at_ns, 1, parse_scaled(bid, 1), 100, 0, 0)
        instrument = self.market.by_name["BTC"]
        instrument.add_quote(event)
        self.exchange.add_quote(event, instrument)

    def trade(self, price: str, size: str, *, sold: bool = False) -> None:
        """Play a trade of BTC."""
        self.now_ms += 1
        at_ms = self.now_ms - START_MS
        event: Trade = trade(at_ms, parse_scaled(price, 1), parse_scaled(size, 5), SELL if sold else BUY)
        instrument = self.market.by_name["BTC"]
        instrument.add_trade(event)
        self.exchange.add_trade(event, instrument)
        self._drain()

    def wait(self, ms: int) -> None:
        """Advance the clock."""
        self.now_ms += ms
        self.exchange.advance(self.now_ms)
        self._drain()

    def nonce(self) -> int:
        """Return an unused nonce."""
        self._nonce = max(self._nonce + 1, self.now_ms)
        return self._nonce

    def act(self, action: dict[str, Any], key: str = ALICE_KEY, **options: Any) -> dict[str, Any]:
        """Send a signed action and return the answer."""
        return self.send(signed(action, self.nonce(), key, **options))

    def send(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send a body and return the answer as a client reads it."""
        answer = self.exchange.act(json.dumps(body).encode(), self.now_ms)
        self._drain()
        read: dict[str, Any] = json.loads(msgspec.json.encode(answer))
        return read

    def place(self, *wires: dict[str, Any], key: str = ALICE_KEY, grouping: Any = "na") -> list[Any]:
        """Place orders and return their statuses."""
        return statuses(self.act(orders(*wires, grouping=grouping), key))

    def reported(self, kind: str, user: str = ALICE) -> list[Any]:
        """Return the data of all frames of an account's subscription."""
        self._drain()
        return [data for name, who, data in self.frames if (name, who) == (kind, user)]

    def _drain(self) -> None:
        self.frames += [
            (name, who, json.loads(text)["data"]) for name, who, text in self.exchange.reports.drain()
        ]

    def updates(self, user: str = ALICE) -> list[tuple[str, str]]:
        """Return (status, size) of every order update of an account."""
        return [
            (row["status"], row["order"]["sz"])
            for rows in self.reported("orderUpdates", user)
            for row in rows
        ]


def signed(
    action: dict[str, Any],
    nonce: int,
    key: str = ALICE_KEY,
    *,
    vault: str | None = None,
    expires: int | None = None,
    mainnet: bool = False,
) -> dict[str, Any]:
    """Return a signed request body."""
    return {
        "action": action,
        "nonce": nonce,
        "signature": dict(sign_l1_action(key, action, nonce, vault, expires, mainnet)),
        "vaultAddress": vault,
        "expiresAfter": expires,
    }


def statuses(answer: dict[str, Any]) -> list[Any]:
    """Return the statuses of a successful answer."""
    assert answer["status"] == "ok", answer
    found: list[Any] = answer["response"]["data"]["statuses"]
    return found


def oid_of(status: dict[str, Any]) -> int:
    """Return the order id of a status."""
    (data,) = status.values()
    oid: int = data["oid"]
    return oid


async def post(address: SandboxAddress, body: Any) -> httpx.Response:
    """Post to /exchange."""
    async with http_client() as client:
        return await client.post(address.base_url + "/exchange", json=body)

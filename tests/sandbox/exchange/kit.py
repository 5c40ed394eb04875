"""What the tests of the exchange share: one without sockets, clients that sign, and a moving touch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from adapters.hyperliquid.signing import address_of, sign_l1_action
from adapters.sandbox.exchange.accounts import Account
from adapters.sandbox.exchange.desk import Desk
from adapters.sandbox.played import PlayedMarket
from adapters.sandbox.server import SandboxAddress
from engine.events import InstrumentListed, Quote, Trade
from engine.values import BUY, SELL, parse_scaled
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
    """The type of a trigger order."""
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
    """An order as clients send it."""
    order: dict[str, Any] = {"a": asset, "b": buy, "p": price, "s": size, "r": reduce_only, "t": kind}
    return order if cloid is None else {**order, "c": cloid}


def orders(*wires: dict[str, Any], grouping: Any = "na") -> dict[str, Any]:
    """An order action."""
    return {"type": "order", "orders": list(wires), "grouping": grouping}


class Floor:
    """An exchange that a test drives by hand: the touch, prints, the clock, and signed requests."""

    def __init__(
        self,
        accounts: Sequence[tuple[str, str]] = ((ALICE, "100000"), (BOB, "100000")),
        instruments: Sequence[InstrumentListed] = (BTC, PURR),
        **options: Any,
    ) -> None:
        self.market = PlayedMarket(instruments)
        self.desk = Desk(self.market, accounts, **options)
        self.now_ms = START_MS
        self._nonce = 0
        self.frames: list[tuple[str, str, Any]] = []
        self.touch("84143", "84144")

    @property
    def alice(self) -> Account:
        return self.desk.accounts[ALICE]

    @property
    def bob(self) -> Account:
        return self.desk.accounts[BOB]

    def touch(self, bid: str, ask: str, size: str = "1", *, after_ms: int = 100) -> None:
        """Move the touch of BTC; `size` stands on both sides."""
        self.now_ms += after_ms
        at_ms = self.now_ms - START_MS
        event = quote(at_ms, parse_scaled(bid, 1), parse_scaled(ask, 1), parse_scaled(size, 5))
        coin = self.market.by_name["BTC"]
        if coin.add_quote(event):
            self.desk.add_quote(event, coin)
        self._drain()

    def quote_purr(self, bid: int, ask: int) -> None:
        """Give PURR a touch, in millionths."""
        coin = self.market.by_name["PURR"]
        event = quote(self.now_ms - START_MS, bid, ask, 100_000, coin=2)
        coin.add_quote(event)
        self.desk.add_quote(event, coin)

    def one_sided(self, bid: str) -> None:
        """Leave no asks."""
        at_ns = self.now_ms * 1_000_000
        event = Quote(at_ns, at_ns, 1, parse_scaled(bid, 1), 100, 0, 0)
        coin = self.market.by_name["BTC"]
        coin.add_quote(event)
        self.desk.add_quote(event, coin)

    def print(self, price: str, size: str, *, sold: bool = False) -> None:
        """Play a print of BTC."""
        self.now_ms += 1
        at_ms = self.now_ms - START_MS
        event: Trade = trade(at_ms, parse_scaled(price, 1), parse_scaled(size, 5), SELL if sold else BUY)
        coin = self.market.by_name["BTC"]
        coin.add_trade(event)
        self.desk.add_trade(event, coin)
        self._drain()

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms
        self.desk.advance(self.now_ms)
        self._drain()

    def nonce(self) -> int:
        """A nonce that was not used yet."""
        self._nonce = max(self._nonce + 1, self.now_ms)
        return self._nonce

    def act(self, action: dict[str, Any], key: str = ALICE_KEY, **options: Any) -> dict[str, Any]:
        """Send a signed action and return the answer."""
        return self.send(signed(action, self.nonce(), key, **options))

    def send(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send a body and return the answer as a client reads it."""
        answer = self.desk.act(json.dumps(body).encode(), self.now_ms)
        self._drain()
        read: dict[str, Any] = json.loads(msgspec.json.encode(answer))
        return read

    def place(self, *wires: dict[str, Any], key: str = ALICE_KEY, grouping: Any = "na") -> list[Any]:
        """Place orders and return their statuses."""
        return statuses(self.act(orders(*wires, grouping=grouping), key))

    def told(self, kind: str, user: str = ALICE) -> list[Any]:
        """Return the data of an account's frames of a subscription since the start."""
        self.frames += [
            (name, who, json.loads(text)["data"]) for name, who, text in self.desk.reports.drain()
        ]
        return [data for name, who, data in self.frames if (name, who) == (kind, user)]

    def _drain(self) -> None:
        self.frames += [
            (name, who, json.loads(text)["data"]) for name, who, text in self.desk.reports.drain()
        ]

    def updates(self, user: str = ALICE) -> list[tuple[str, str]]:
        """Return (status, size) of every order update of an account."""
        return [
            (row["status"], row["order"]["sz"]) for rows in self.told("orderUpdates", user) for row in rows
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
    """A request body."""
    return {
        "action": action,
        "nonce": nonce,
        "signature": dict(sign_l1_action(key, action, nonce, vault, expires, mainnet)),
        "vaultAddress": vault,
        "expiresAfter": expires,
    }


def statuses(answer: dict[str, Any]) -> list[Any]:
    """The statuses of an answer, which must be one."""
    assert answer["status"] == "ok", answer
    found: list[Any] = answer["response"]["data"]["statuses"]
    return found


def oid_of(status: dict[str, Any]) -> int:
    """The order id that a status tells."""
    (told,) = status.values()
    oid: int = told["oid"]
    return oid


async def post(address: SandboxAddress, body: Any) -> httpx.Response:
    """Post to /exchange."""
    async with httpx.AsyncClient() as client:
        return await client.post(address.base_url + "/exchange", json=body)

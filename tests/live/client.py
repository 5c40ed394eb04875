"""The official Hyperliquid Python SDK, pointed at a sandbox. Shared by the `test_sdk*` files."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from eth_account import Account
from hyperliquid.exchange import Exchange
from hyperliquid.info import Info
from hyperliquid.utils.types import Cloid

from adapters.hyperliquid.signing import address_of
from tests.commands.kit import PATIENCE_S, sandbox
from tests.live.kit import KEY

__all__ = [
    "ALO",
    "GTC",
    "IOC",
    "Accounts",
    "Client",
    "accounts",
    "closing",
    "key",
    "status",
    "trading_as",
    "until",
]

GTC: Any = {"limit": {"tif": "Gtc"}}
IOC: Any = {"limit": {"tif": "Ioc"}}
ALO: Any = {"limit": {"tif": "Alo"}}
TIMEOUT_S = PATIENCE_S
"""The SDK has no timeout by default. With this one, a missing answer fails instead of hanging."""


Accounts = Iterator[tuple[str, str]]
"""(sandbox URL, private key) of accounts without orders or positions."""

_ACCOUNTS = 60


def key(number: int) -> str:
    """Return the private key of a test account."""
    return f"0x{number:064x}"


class Client:
    """The SDK for one account: `info` sends requests and subscribes, `exchange` signs actions.

    `frames` holds all frames of the connection in order, including those without a callback.
    """

    def __init__(self, base_url: str, private_key: str = KEY) -> None:
        self.base_url = base_url
        self.wallet = Account.from_key(private_key)
        self.address = self.wallet.address
        self.info = Info(base_url, timeout=TIMEOUT_S)
        self.exchange = Exchange(self.wallet, base_url, timeout=TIMEOUT_S)
        self.numbers = iter(range(1, 10_000))
        self.frames: list[Any] = []
        self._socket = self.info.ws_manager.ws
        handle = self._socket.on_message

        def record(app: Any, text: str) -> None:
            self.frames.append(json.loads(text))
            handle(app, text)

        self._socket.on_message = record

    def close(self) -> None:
        connection = self.info.ws_manager
        # The SDK does not close a connection that it is still opening.
        until(lambda: connection.ws_ready)
        self.info.disconnect_websocket()
        for session in (self.info.session, self.exchange.session, self.exchange.info.session):
            session.close()

    def cloid(self) -> Cloid:
        return Cloid.from_int(next(self.numbers))

    def mid(self, coin: str = "BTC") -> float:
        return float(self.info.all_mids()[coin])

    def low(self) -> int:
        """Return a price at which a buy order of BTC rests."""
        return round(self.mid() * 0.97)

    def order(self, price: float, **changed: Any) -> Any:
        """Return an order for the SDK's batches: by default, buy a little BTC."""
        request = {"coin": "BTC", "is_buy": True, "sz": 0.001, "limit_px": price, "order_type": GTC}
        return {**request, "reduce_only": False, **changed}

    def listen(self, **subscription: Any) -> list[Any]:
        messages: list[Any] = []
        self.info.subscribe(subscription, messages.append)
        return messages

    def on(self, channel: str) -> list[Any]:
        """Return the frames of a channel so far."""
        return [one for one in self.frames if one["channel"] == channel]

    def catch_up(self) -> None:
        """Wait until all frames sent so far have arrived. Frames of a connection keep their order."""
        before = len(self.on("pong"))
        self._socket.send('{"method":"ping"}')
        until(lambda: len(self.on("pong")) > before)

    def position(self, coin: str = "BTC") -> dict[str, Any]:
        """Return the position in an instrument, or an empty dict if it is flat."""
        held = self.info.user_state(self.address)["assetPositions"]
        return next((one["position"] for one in held if one["position"]["coin"] == coin), {})

    def size(self, coin: str = "BTC") -> float:
        return float(self.position(coin).get("szi", 0))


@contextlib.contextmanager
def accounts() -> Iterator[Accounts]:
    """Run a sandbox with many accounts of 100,000 USDC each, so that every test has its own."""
    keys = [key(number) for number in range(1, _ACCOUNTS + 1)]
    options = [word for one in keys for word in ("--account", f"{address_of(one)}:100000")]
    options += ["--instruments", "BTC,ETH", "--rate-limit", "off", "--history", "600", "--maker"]
    with sandbox(*options) as url:
        yield ((url, one) for one in keys)


@contextlib.contextmanager
def closing(client: Client) -> Iterator[Client]:
    """Close the client's connections at the end."""
    try:
        yield client
    finally:
        client.close()


@contextlib.contextmanager
def trading_as(base_url: str, private_key: str, **options: Any) -> Iterator[Exchange]:
    """Yield an `Exchange` that signs with another key, or for another address."""
    exchange = Exchange(Account.from_key(private_key), base_url, timeout=TIMEOUT_S, **options)
    try:
        yield exchange
    finally:
        for session in (exchange.session, exchange.info.session):
            session.close()


def status(answer: Any) -> Any:
    """Return the only status of a successful answer."""
    assert answer["status"] == "ok", answer
    (only,) = answer["response"]["data"]["statuses"]
    return only


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """Wait until a condition is true; the SDK's threads change it. Return its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"condition not met within {seconds} s")

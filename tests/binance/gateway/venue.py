"""Binance in memory: the accounts of its sandbox. Called by the tests of orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import httpx
import trio

from adapters.binance.gateway.access import check_access, check_quotes
from adapters.binance.gateway.dialects import SPOT, USDM, Dialect
from adapters.binance.gateway.gateway import BinanceGateway
from adapters.binance.gateway.keys import Signer as KeySigner
from adapters.binance.sandbox.accounts import Account
from adapters.binance.sandbox.trading import Trading
from adapters.transport.governor import Governor
from engine.config import Config
from engine.events import InstrumentListed, MarketRules
from engine.values import BUY
from engine.venue import Account as EngineAccount
from engine.venue import Gateway, Listing, Rules, SessionContext, Signer
from tests.binance.gateway.kit import API_KEY, BASE_URL, LIMITS, SECRET
from tests.venues.memory import MemoryClient as Client
from tests.venues.memory import MemoryVenue as Base

__all__ = ["MemoryVenue", "listed_perp", "listed_spot"]


def listed_perp(
    number: int, name: str, price_scale: int, size_scale: int, value_min: str = "5"
) -> InstrumentListed:
    """Return a futures instrument."""
    rules = MarketRules(
        True,
        base=name,
        quote="USDT",
        value_min=value_min,
        attached=False,
        taker_fee="0.0005",
        maker_fee="0.0002",
    )
    return InstrumentListed(
        0, number, "binance-usdm", name, price_scale, size_scale, rules=rules, ids="sequence"
    )


def listed_spot(
    number: int, name: str, price_scale: int, size_scale: int, value_min: str = "5"
) -> InstrumentListed:
    """Return a spot instrument; its base asset is its name without the quote."""
    rules = MarketRules(
        True,
        on_margin=False,
        base=name.removesuffix("USDT"),
        quote="USDT",
        value_min=value_min,
        value_min_exempts_close=False,
        reduce_only=False,
        attached=False,
        leverage=1,
        leverage_max=1,
        taker_fee="0.001",
        maker_fee="0.001",
        fee_in="received",
    )
    return InstrumentListed(
        0, number, "binance", name, price_scale, size_scale, kind="spot", rules=rules, ids="sequence"
    )


class MemoryVenue(Base):
    """The venue and its exchange, with one account. See `tests/venues/memory.py`."""

    name = "binance-usdm"
    rules = Rules(ids="sequence")
    too_many = '{"code":-1003,"msg":"Too many requests."}'

    def __init__(
        self,
        nursery: trio.Nursery,
        instruments: Sequence[InstrumentListed],
        now_ns: Callable[[], int],
        *,
        spot: bool = False,
        cash: str = "10000",
        seed: int = 1,
    ) -> None:
        super().__init__(nursery, instruments, now_ns, seed)
        self.dialect: Dialect = SPOT if spot else USDM
        self.account = Account(API_KEY, SECRET, {"USDT": Decimal(cash)})
        self.trading = Trading(self.shown, [self.account], spot=spot)

    # Others with the account's key.

    def others(self, name: str, side: int, size: str, *, closes: bool = False) -> None:
        """Trade at market as another program does. What the exchange refuses is left out."""
        params = {
            "symbol": name,
            "side": "BUY" if side == BUY else "SELL",
            "type": "MARKET",
            "quantity": size,
        }
        if closes:
            params["reduceOnly"] = "true"
        self.ask("POST", "order", params)

    def ask(self, method: str, path: str, params: dict[str, str] | None = None) -> Any:
        """Make a request past the network; return its decoded answer."""
        import msgspec

        signer = KeySigner(f"{API_KEY} {SECRET}")
        given: dict[str, str | int] = {**(params or {}), "timestamp": self.now_ms}
        full = path if path.startswith("/") else self.dialect.path(path)
        headers = {"x-mbx-apikey": API_KEY}
        reply = self.trading.answer(method, full, signer.query(given), headers, b"", self.now_ms)
        return msgspec.json.decode(reply.body)

    # The network.

    def reply(self, request: httpx.Request) -> tuple[int, str]:
        """See `MemoryVenue`."""
        path, _, query = request.url.raw_path.decode().partition("?")
        headers = dict(request.headers)
        if path.endswith("/time"):
            return 200, f'{{"serverTime":{self.now_ms}}}'
        if path.endswith("/ticker/price"):
            shown = self.shown[query.removeprefix("symbol=")]
            price = Decimal(shown.mark).scaleb(-shown.listed.price_scale)
            return 200, f'{{"symbol":"{shown.listed.name}","price":"{price:f}"}}'
        reply = self.trading.answer(request.method, path, query, headers, request.content, self.now_ms)
        return reply.status, reply.body

    def connected(self, peer: Any, path: str, query: str) -> None:
        """See `MemoryVenue`."""
        self.trading.user_data.connected(peer, path, query)

    def message(self, peer: Any, text: str) -> None:
        """See `MemoryVenue`."""
        self.trading.message(peer, text, self.now_ms)

    def disconnected(self, peer: Any) -> None:
        """See `MemoryVenue`."""
        self.trading.user_data.disconnected(peer)

    def is_data(self, text: str) -> bool:
        """See `MemoryVenue`."""
        return '"status"' not in text

    # The port to venues.

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> MemoryClient:
        """See `Venue.connect`."""
        assert isinstance(signer, KeySigner)
        await check_access(base_url, self.dialect, signer, Governor(LIMITS), self.http())
        return MemoryClient(self, signer)


class MemoryClient(Client):
    """See `VenueClient`."""

    venue: MemoryVenue

    def __init__(self, venue: MemoryVenue, signer: KeySigner) -> None:
        super().__init__(venue)
        self.signer = signer
        self.made: BinanceGateway | None = None

    async def listing(self, names: Sequence[str]) -> Listing:
        """See `VenueClient.listing`."""
        check_quotes(self.venue.instruments)
        return await super().listing(names)

    def gateway(self, context: SessionContext, account: EngineAccount) -> Gateway:
        """See `VenueClient.gateway`."""
        self.made = BinanceGateway(
            name="gateway",
            dialect=self.venue.dialect,
            base_url=BASE_URL,
            network="sandbox",
            signer=self.signer,
            instruments=context.instruments,
            clock=context.clock,
            jitter=context.jitter,
            send=context.inputs.send,
            governor=Governor(LIMITS),
            account=account,
            dial=self.venue.dial,
            transports=self.venue.http,
        )
        return self.made

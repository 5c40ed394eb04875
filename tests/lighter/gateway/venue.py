"""Lighter in memory: the accounts of its sandbox. Called by the tests of orders."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import trio

from adapters.exchange.protocol import Request
from adapters.lighter.gateway.access import check_access, check_markets
from adapters.lighter.gateway.gateway import LighterGateway
from adapters.lighter.gateway.keys import Signer as KeySigner
from adapters.lighter.sandbox import messages
from adapters.lighter.sandbox.accounts import accounts_of
from adapters.lighter.sandbox.trading import Trading
from adapters.lighter.signing import CHAINS, Transaction
from adapters.transport.governor import Governor, Limits, Rate
from engine.config import Config
from engine.events import InstrumentListed, MarketRules
from engine.values import BUY
from engine.venue import Account as EngineAccount
from engine.venue import Gateway, Listing, Rules, SessionContext, Signer
from tests.venues.memory import MemoryClient as Client
from tests.venues.memory import MemoryVenue as Base

__all__ = ["ACCOUNT", "BASE_URL", "LIMITS", "OTHER_KEY", "MemoryVenue", "listed_perp", "signer"]

ACCOUNT = 712440
KEY_INDEX, OTHER_KEY = 4, 5
BASE_URL = "http://127.0.0.1:1"
LIMITS = Limits(Rate(10_000_000), Rate(1000), Rate(1000), 50, 1000, 100)
_VECTORS = Path(__file__).parents[2] / "frames" / "lighter" / "signing-vectors.json"
PRIVATE: tuple[str, str] = tuple(  # type: ignore[assignment]
    key["private"] for key in json.loads(_VECTORS.read_text("utf-8"))["keys"]
)


def signer(index: int = KEY_INDEX) -> KeySigner:
    """Return the signer of one of the account's two keys: the engine's, or that of another program."""
    return KeySigner(PRIVATE[index - KEY_INDEX], ACCOUNT, index)


def listed_perp(
    number: int, name: str, price_scale: int, size_scale: int, value_min: str = "10"
) -> InstrumentListed:
    """Return a perpetual with the fees of a premium account."""
    rules = MarketRules(
        True,
        base=name,
        quote="USDC",
        value_min=value_min,
        trigger_price="mark",
        attached=False,
        taker_fee="0.0002",
        maker_fee="0.00002",
    )
    return InstrumentListed(0, number, "lighter", name, price_scale, size_scale, rules=rules, ids="sequence")


class MemoryVenue(Base):
    """The venue and its exchange, with one account. See `tests/venues/memory.py`."""

    name = "lighter"
    rules = Rules(ids="sequence")
    too_many = '{"code":23000,"message":"Too Many Requests!"}'

    def __init__(
        self,
        nursery: trio.Nursery,
        instruments: Sequence[InstrumentListed],
        now_ns: Callable[[], int],
        *,
        cash: str = "10000",
        seed: int = 1,
    ) -> None:
        super().__init__(nursery, instruments, now_ns, seed)
        keys = [(f"{ACCOUNT}:{index}:{signer(index).public}", cash) for index in (KEY_INDEX, OTHER_KEY)]
        (self.account,) = accounts_of(keys)
        self.markets = {one.name: number for number, one in enumerate(self.instruments)}
        by_number = {self.markets[name]: shown for name, shown in self.shown.items()}
        self.trading = Trading(by_number, [self.account])
        self._other = signer(OTHER_KEY)

    # Others with the account.

    def others(self, name: str, side: int, size: str, *, closes: bool = False) -> None:
        """Trade at market as another program does. What the exchange refuses is left out."""
        shown = self.shown[name]
        worst = max(1, shown.mark * 10 if side == BUY else shown.mark // 10)
        whole = int(Decimal(size).scaleb(shown.listed.size_scale))
        members = {"MarketIndex": self.markets[name], "ClientOrderIndex": 0, "BaseAmount": whole}
        members |= {"Price": worst, "IsAsk": int(side != BUY), "Type": 1, "TimeInForce": 0}
        self.act("create", {**members, "ReduceOnly": int(closes), "TriggerPrice": 0, "OrderExpiry": 0})

    def act(self, kind: str, members: dict[str, int]) -> Any:
        """Send a transaction of another program past the network; return its decoded answer."""
        nonce = self.account.keys[OTHER_KEY].nonce
        made = Transaction(kind, members, nonce, self.now_ms + 60_000)
        signed = self._other.sign(made, CHAINS["sandbox"])
        form = httpx.QueryParams({"tx_type": signed.tx_type, "tx_info": signed.tx_info})
        request = Request("POST", "/api/v1/sendTx", "", {}, str(form).encode())
        return json.loads(self.trading.answer(request, "sendTx", self.now_ms).body)

    # The network.

    def reply(self, request: httpx.Request) -> tuple[int, str]:
        """See `MemoryVenue`."""
        path, _, query = request.url.raw_path.decode().partition("?")
        if path == "/":
            return 200, messages.status(self.now_ms)
        name = path.removeprefix("/api/v1/")
        made = Request(request.method, path, query, dict(request.headers), request.content)
        answer = self.trading.answer(made, name, self.now_ms)
        return answer.status, answer.body

    def connected(self, peer: Any, path: str, query: str) -> None:
        """See `MemoryVenue`."""
        peer.send('{"session_id":"memory","type":"connected"}')

    def message(self, peer: Any, text: str) -> None:
        """See `MemoryVenue`."""
        asked = json.loads(text)
        if asked["type"] == "ping":
            peer.send('{"type":"pong"}')
        elif asked["type"] == "subscribe":
            channel, token = asked["channel"], asked["auth"]
            peer.send(self.trading.subscribes(peer, channel, token, self.now_ms))

    def disconnected(self, peer: Any) -> None:
        """See `MemoryVenue`."""
        self.trading.disconnected(peer)

    def is_data(self, text: str) -> bool:
        """See `MemoryVenue`."""
        return '"type":"update/' in text

    # The port to venues.

    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> MemoryClient:
        """See `Venue.connect`."""
        assert isinstance(signer, KeySigner)
        await check_access(base_url, signer, Governor(LIMITS), self.http())
        return MemoryClient(self, signer)


class MemoryClient(Client):
    """See `VenueClient`."""

    venue: MemoryVenue

    def __init__(self, venue: MemoryVenue, signer: KeySigner) -> None:
        super().__init__(venue)
        self.signer = signer
        self.made: LighterGateway | None = None

    async def listing(self, names: Sequence[str]) -> Listing:
        """See `VenueClient.listing`."""
        check_markets(self.venue.instruments)
        return await super().listing(names)

    def gateway(self, context: SessionContext, account: EngineAccount) -> Gateway:
        """See `VenueClient.gateway`."""
        self.made = LighterGateway(
            name="gateway",
            base_url=BASE_URL,
            network="sandbox",
            signer=self.signer,
            instruments=context.instruments,
            markets=self.venue.markets,
            clock=context.clock,
            jitter=context.jitter,
            send=context.inputs.send,
            governor=Governor(LIMITS),
            account=account,
            dial=self.venue.dial,
            transports=self.venue.http,
        )
        return self.made

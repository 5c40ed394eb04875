"""Hyperliquid's protocol for the local exchange: `/info`, `/exchange` and `/ws`.

Connects the parts: `hub.py` decides which frames are sent and `info.py` answers requests; `requests.py`
applies limits and the faults of posts; `exchange/` keeps the accounts and executes signed actions.
"""

from __future__ import annotations

import re
from collections import deque
from typing import ClassVar, Final, Literal

from adapters.exchange.connection import WebsocketPeer
from adapters.exchange.instruments import Market, Played
from adapters.exchange.market import InstrumentProfile
from adapters.exchange.options import SandboxOptions
from adapters.exchange.protocol import Answer, Client, Request, Scope, Server, VenueProtocol
from adapters.sandbox.exchange.exchange import Exchange
from adapters.sandbox.hub import Hub
from adapters.sandbox.info import Info
from adapters.sandbox.limits import TOO_MANY, VenueLimits
from adapters.sandbox.market import lists
from adapters.sandbox.market_state import MarketState
from adapters.sandbox.requests import Requests
from adapters.sandbox.wire import PONG, Ping, channel_of, scope_of
from engine.errors import UsageError
from engine.events import InstrumentListed, Quote, Trade

__all__ = ["HyperliquidProtocol"]

_SCOPES: Final[dict[str, Scope]] = {"/info": "info", "/exchange": "exchange"}
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


class HyperliquidProtocol(VenueProtocol):
    """See `VenueProtocol`. `server` is set before the first request."""

    ws_path: ClassVar[str] = "/ws"
    sizes: ClassVar[tuple[str, str] | None] = (r'"sz":"[^"]*"', '"sz":"0"')

    def __init__(self, market: Market, options: SandboxOptions) -> None:
        super().__init__(market, options)
        self.idle_s = options.idle_s
        self.state = MarketState([one.listed for one in market.instruments])
        self.exchange = Exchange(
            self.state,
            options.accounts,
            options.volumes,
            mainnet=options.network == "mainnet",
            limited=options.rate_limit,
        )
        self.limits = VenueLimits(
            lifted=not options.rate_limit,
            speed=options.speed,
            connections_open_max=options.connections_max,
            subscriptions_max=options.subscriptions_max,
        )
        self.info = Info(self.state, self.exchange, options.speed)
        self.hub = Hub(
            self.state,
            self.info,
            self.exchange,
            speed=options.speed,
            subscriptions_max=self.limits.subscriptions_max,
            users_max=self.limits.users_max,
        )
        self.requests: Requests
        # Pings that came before the tape reached their time; a client sends few (`limits.message`).
        self._pings: deque[tuple[int, Client]] = deque()

    @classmethod
    def lists(cls, profile: InstrumentProfile, number: int, recv_ns: int) -> InstrumentListed:
        """See `VenueProtocol.lists`."""
        return lists(profile, number, recv_ns)

    @classmethod
    def check(cls, options: SandboxOptions) -> None:
        """See `VenueProtocol.check`: an account is an address."""
        for option, pairs in (("--account", options.accounts), ("--volume", options.volumes)):
            for address, _ in pairs:
                if not _ADDRESS.fullmatch(address):
                    raise UsageError(
                        f"{option} {address[:60]!r}: write it as 0x and 40 hex digits, a colon, and an amount"
                    )

    def attached(self, server: Server) -> None:
        """See `VenueProtocol.attached`."""
        super().attached(server)
        self.requests = Requests(self.hub, self.info, self.limits, server)

    # Requests.

    def scope(self, request: Request) -> Scope | Answer:
        """See `VenueProtocol.scope`."""
        scope = _SCOPES.get(request.path)
        if scope is None:
            return Answer(404, "Not Found", type="text/plain")
        if request.method != "POST":
            return Answer(405, headers={"allow": "POST"})
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return Answer(415, "Expected request with `Content-Type: application/json`", type="text/plain")
        return scope

    def admit(self, request: Request) -> Answer | None:
        """See `VenueProtocol.admit`."""
        within = self.limits.request(request.body, action=_SCOPES[request.path] == "exchange")
        return None if within else self.too_many(0)

    def too_many(self, after_s: int) -> Answer:
        """See `VenueProtocol.too_many`."""
        after = {"retry-after": str(after_s)} if after_s else {}
        return Answer(429, TOO_MANY, after, "text/plain")

    def answer(self, request: Request, now_ms: int) -> Answer:
        """See `VenueProtocol.answer`."""
        return self.requests.answer(request.body, _SCOPES[request.path], now_ms)

    # Connections.

    def opens(self, path: str, query: str) -> Answer | None:
        """See `VenueProtocol.opens`."""
        if path != self.ws_path:
            return Answer(403)
        return None if self.limits.connection(len(self.hub.peers)) else Answer(429)

    def connected(self, client: Client) -> None:
        """See `VenueProtocol.connected`."""
        self.hub.connect(client)

    def disconnected(self, client: Client) -> None:
        """See `VenueProtocol.disconnected`."""
        self.hub.disconnect(client)

    def message(self, client: Client, text: str, now_ms: int) -> None:
        """See `VenueProtocol.message`."""
        if not self.limits.message():
            client.abort()
            return
        request = self.hub.handle(client, text, now_ms)
        if isinstance(request, Ping):
            self._pings.append((self.server.arrived_ns, client))
            self._answer_pings(self.server.reached_ns)
        elif request is not None:
            assert isinstance(client, WebsocketPeer)
            assert client.nursery is not None
            self.requests.post(client, client.tcp, request, client.nursery)

    def channel(self, text: str) -> tuple[str, Literal["market", "user", ""]]:
        """See `VenueProtocol.channel`."""
        channel = channel_of(text)
        return channel, scope_of(channel)

    # The tape.

    def play(self, event: Played) -> None:
        """See `VenueProtocol.play`."""
        if isinstance(event, Trade):
            self.hub.add_trade(event)
        elif isinstance(event, Quote):
            self.hub.add_quote(event)

    def flush(self) -> None:
        """See `VenueProtocol.flush`."""
        self.hub.flush()

    def tick(self, now_ns: int) -> int:
        """See `VenueProtocol.tick`."""
        due_ns = self.hub.tick(now_ns)
        self._answer_pings(now_ns)
        return due_ns

    def _answer_pings(self, reached_ns: int) -> None:
        """Answer the pings whose time the tape has reached, so that a pong follows all events before it."""
        while self._pings and self._pings[0][0] <= reached_ns:
            self._pings.popleft()[1].send(PONG)

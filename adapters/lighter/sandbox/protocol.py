"""Lighter's protocol on the local exchange: market data over the stream and HTTP, accounts and transactions.

Owns what each connection subscribes to, the numbers of trades and books, and what has changed since the last
flush. Promises: trades are numbered over all markets, in the order of the tape; a change of a book names the
change before it, for every client alike; a subscription is confirmed by its first data, as the venue does.
Frames and answers are in `messages.py`, accounts and orders in `trading.py`: an account is
`--account ACCOUNT:KEY:PUBLIC:USDC`. Called by the server of the local exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final, Literal
from urllib.parse import parse_qsl

import msgspec
import trio

from adapters.exchange.depth import changes
from adapters.exchange.grid import Level
from adapters.exchange.instruments import InstrumentMarket, Market, Played
from adapters.exchange.limits import Window
from adapters.exchange.market import InstrumentProfile
from adapters.exchange.options import SandboxOptions
from adapters.exchange.protocol import Answer, Client, Request, Scope, VenueProtocol
from adapters.lighter.limits import LIMITS, weight_of
from adapters.lighter.rules import CANDLES_PAGE, INTERVALS, PERP, RULES
from adapters.lighter.sandbox import messages
from adapters.lighter.sandbox.accounts import accounts_of
from adapters.lighter.sandbox.trading import Trading
from adapters.lighter.wire import Channel
from engine.errors import UsageError, VenueProtocolError
from engine.events import FundingRead, InstrumentListed, LiquidationRead, Quote, Trade

__all__ = ["LighterProtocol"]

SNAPSHOT_TRADES: Final = 50
"""How many of the newest trades a subscription begins with."""

KEEP_ALIVE_S: Final = 120.0
"""A client that sends nothing for so long, in real seconds, is cut."""

PING_S: Final = 30.0
DEPTH: Final = 100
SPOT_FROM: Final = 2048
_TICK_NS: Final = 500_000_000
_STATS_EVERY: Final = 2
_RATES_KEPT: Final = 5_000


class _Request(msgspec.Struct, frozen=True):
    """A message of a client."""

    type: str = ""
    channel: str = ""
    auth: str = ""


class _Book:
    """What was last sent of a book, and its number."""

    def __init__(self, nonce: int) -> None:
        self.nonce = nonce
        self.bids: list[Level] = []
        self.asks: list[Level] = []


class _Connection:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.channels: dict[Channel, None] = {}
        self.messages = Window()
        self.heard_at = trio.current_time()
        self.pinged_at = self.heard_at


class LighterProtocol(VenueProtocol):
    """See `VenueProtocol`."""

    ws_path: ClassVar[str] = "/stream"
    # Of a trade only: in a book a size of 0 removes a level, and is right.
    sizes: ClassVar[tuple[str, str] | None] = (r'"size":"[0-9.]+"(?=,"price")', '"size":"0"')

    def __init__(self, market: Market, options: SandboxOptions) -> None:
        super().__init__(market, options)
        self._numbers: dict[int, InstrumentMarket] = {}
        self._market_of: dict[str, int] = {}
        for place, one in enumerate(market.instruments):
            number = place + (SPOT_FROM if one.listed.kind == "spot" else 0)
            self._numbers[number] = one
            self._market_of[one.name] = number
        self._books = {one.name: _Book(1) for one in market.instruments}
        self._connections: dict[Client, _Connection] = {}
        perps = {number: one for number, one in self._numbers.items() if one.listed.kind != "spot"}
        self.trading = Trading(perps, accounts_of(options.accounts))
        self._weight = Window()
        self._trade_id = 1_000_000
        self._rows: dict[str, list[messages.Row]] = {}  # the newest of each instrument
        self._pending: dict[str, list[messages.Row]] = {}
        self._quoted: set[str] = set()
        self._rates: dict[str, list[FundingRead]] = {}
        self._newest_ns = 0
        self._ticks = 0

    @classmethod
    def lists(cls, profile: InstrumentProfile, number: int, recv_ns: int) -> InstrumentListed:
        """See `VenueProtocol`."""
        places = 6 - profile.size_scale if profile.price_places is None else profile.price_places
        return InstrumentListed(
            recv_ns=recv_ns,
            instrument=number,
            venue="lighter",
            name=profile.name,
            price_scale=places,
            size_scale=profile.size_scale,
            silence=RULES.silence,
            ids=RULES.ids,
            rules=msgspec.structs.replace(PERP, base=profile.name),
        )

    @classmethod
    def check(cls, options: SandboxOptions) -> None:
        """See `VenueProtocol.check`: accounts have keys."""
        accounts_of(options.accounts)
        if options.volumes:
            raise UsageError("the sandbox of lighter has the same fees for all; remove --volume")

    # Requests.

    def scope(self, request: Request) -> Scope | Answer:
        """See `VenueProtocol.scope`."""
        return "exchange" if request.path == "/api/v1/sendTx" else "info"

    def admit(self, request: Request) -> Answer | None:
        """See `VenueProtocol`."""
        path = request.path.removeprefix("/api/v1/")
        if self._weight.sum() + weight_of(path) > LIMITS.weight.amount * max(1.0, self.options.speed):
            return self.too_many(10)
        self._weight.add(weight_of(path))
        return None

    def too_many(self, after_s: int) -> Answer:
        """See `VenueProtocol`."""
        headers = {"retry-after": str(after_s)} if after_s else {}
        return Answer(429, messages.refusal(23000, "Too Many Requests!"), headers)

    def answer(self, request: Request, now_ms: int) -> Answer:
        """See `VenueProtocol`."""
        query = dict(parse_qsl(request.query))
        path = request.path.removeprefix("/api/v1/")
        if self.trading.knows(path):
            return self.trading.answer(request, path, now_ms)
        if request.method != "GET":
            return Answer(405, messages.refusal(20000, "method not allowed"))
        if path == "/":
            return Answer(body=messages.status(now_ms))
        if path == "orderBookDetails":
            return Answer(body=messages.listing(self._numbers))
        market = self._asked(query)
        if market is None:
            return Answer(400, messages.refusal(20001, "invalid param: market_id"))
        try:
            body = self._body(path, market, query)
        except (ValueError, KeyError):
            return Answer(400, messages.refusal(20001, "invalid param"))
        return Answer(404, messages.refusal(20000, "not found")) if body is None else Answer(body=body)

    def _asked(self, query: Mapping[str, str]) -> InstrumentMarket | None:
        text = query.get("market_id", "")
        return self._numbers.get(int(text)) if text.isascii() and text.isdigit() else None

    def _body(self, path: str, market: InstrumentMarket, query: Mapping[str, str]) -> str | None:
        if path == "recentTrades":
            limit = min(int(query["limit"]), 100)
            return messages.recent(self._rows.get(market.name, [])[-limit:])
        if path == "orderBookOrders":
            return messages.orders(market.listed, *market.levels(min(int(query["limit"]), 250)))
        start_ms, end_ms = int(query["start_timestamp"]), int(query["end_timestamp"])
        count = min(int(query["count_back"]), CANDLES_PAGE)
        if path == "candles" and query["resolution"] in INTERVALS:
            found = market.candles.snapshot(query["resolution"])
            inside = [one for one in found if start_ms <= one.start_ms <= end_ms]
            return messages.candles_answer(market.listed, query["resolution"], inside[-count:])
        if path == "fundings" and query["resolution"] == "1h":
            rates = self._rates.get(market.name, [])
            inside_rates = [one for one in rates if start_ms <= one.venue_ns // 1_000_000 <= end_ms]
            return messages.fundings(inside_rates[-count:])
        return None

    # Connections.

    def opens(self, path: str, query: str) -> Answer | None:
        """See `VenueProtocol`."""
        return None if path == "/stream" else Answer(404, messages.refusal(20000, "not found"))

    def connected(self, client: Client) -> None:
        """See `VenueProtocol`."""
        self._connections[client] = _Connection(client)
        client.send('{"session_id":"sandbox","type":"connected"}')

    def disconnected(self, client: Client) -> None:
        """See `VenueProtocol`."""
        self._connections.pop(client, None)
        self.trading.disconnected(client)

    def message(self, client: Client, text: str, now_ms: int) -> None:
        """See `VenueProtocol`."""
        connection = self._connections[client]
        connection.heard_at = trio.current_time()
        connection.messages.add(1)
        limit = LIMITS.messages.amount * max(1.0, self.options.speed)
        if self.options.rate_limit and connection.messages.sum() > limit:
            client.abort()
            return
        try:
            request = msgspec.json.decode(text, type=_Request)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            client.send(messages.error(30001, "Invalid Message"))
            return
        if request.type == "ping":
            client.send('{"type":"pong"}')
        elif request.type == "subscribe" and self.trading.is_private(request.channel):
            client.send(self.trading.subscribes(client, request.channel, request.auth, now_ms))
        elif request.type in ("subscribe", "unsubscribe"):
            self._subscribe(connection, request, now_ms)
        elif request.type != "pong":
            client.send(messages.error(30001, f"Invalid Type: {request.type[:40]}"))

    def _subscribe(self, connection: _Connection, request: _Request, now_ms: int) -> None:
        client = connection.client
        try:
            channel = Channel.of(request.channel)
        except VenueProtocolError:
            channel = Channel("", 0)
        market = self._numbers.get(channel.market)
        if ":" in request.channel or market is None or not self._serves(channel, market):
            client.send(messages.error(30005, f"Invalid Channel: {request.channel[:80]}"))
        elif request.type == "unsubscribe":
            connection.channels.pop(channel, None)
            client.send(messages.unsubscribed(channel))
        elif channel in connection.channels:
            client.send(messages.error(30003, f"Already Subscribed to Channel: {channel.text(':')}"))
        elif len(connection.channels) >= self.options.subscriptions_max:
            client.send(messages.error(30009, "Too Many Subscriptions"))
        else:
            connection.channels[channel] = None
            client.send(self._first(channel, market, now_ms))

    def _serves(self, channel: Channel, market: InstrumentMarket) -> bool:
        if channel.kind == "candle":
            return channel.resolution in INTERVALS
        stats = "spot_market_stats" if market.listed.kind == "spot" else "market_stats"
        return channel.kind in ("trade", "ticker", "order_book", stats) and not channel.resolution

    def _first(self, channel: Channel, market: InstrumentMarket, now_ms: int) -> str:
        """Return the first data of a subscription."""
        if channel.kind == "trade":
            newest = self._rows.get(market.name, [])[-SNAPSHOT_TRADES:]
            return messages.trades("subscribed", channel, newest[::-1], now_ms)
        if channel.kind == "order_book":
            book = self._books[market.name]
            if not book.bids and not book.asks:
                book.bids, book.asks = market.levels(DEPTH)
            sides = (_plain(book.bids), _plain(book.asks))
            return messages.book("subscribed", channel, market.listed, sides, (0, book.nonce), now_ms)
        return self._state("subscribed", channel, market, now_ms)

    def _state(
        self, verb: Literal["subscribed", "update"], channel: Channel, market: InstrumentMarket, now_ms: int
    ) -> str:
        if channel.kind == "ticker":
            return messages.ticker(verb, channel, market, now_ms)
        if channel.kind == "candle":
            return messages.candle(verb, channel, market, now_ms)
        return messages.stats(verb, channel, market, now_ms)

    def channel(self, text: str) -> tuple[str, Literal["market", "user", ""]]:
        """See `VenueProtocol`."""
        kind = messages.kind_of(text)
        if self.trading.is_private(kind):
            return kind, "user"
        return (kind, "market") if kind else ("", "")

    # The tape.

    def play(self, event: Played) -> None:
        """See `VenueProtocol`."""
        super().play(event)
        market = self.market.by_number[event.instrument]
        self._trade(event, market)
        if isinstance(event, Trade):
            self._trade_id += 1
            row = messages.Row(self._market_of[market.name], market.listed, event, self._trade_id)
            rows = self._rows.setdefault(market.name, [])
            rows.append(row)
            del rows[:-500]
            self._pending.setdefault(market.name, []).append(row)
        elif isinstance(event, Quote):
            self._quoted.add(market.name)
        elif isinstance(event, FundingRead):
            self._rates.setdefault(market.name, []).append(event)
            del self._rates[market.name][:-_RATES_KEPT]
        elif isinstance(event, LiquidationRead):
            for row in reversed(self._rows.get(market.name, [])):
                if row.trade.trade_id == event.trade_id:
                    row.type = "liquidation"
                    break
        if not isinstance(event, FundingRead):
            self._newest_ns = max(self._newest_ns, event.recv_ns)

    def _trade(self, event: Played, market: InstrumentMarket) -> None:
        """Let the orders of accounts trade with an event."""
        if market.listed.kind == "spot" or not isinstance(event, Trade | Quote | FundingRead):
            return
        at_ms = event.venue_ns // 1_000_000
        if isinstance(event, Trade):
            self.trading.add_trade(market.name, event.price, event.size, event.aggressor, at_ms)
        elif isinstance(event, Quote):
            self.trading.add_quote(market.name, event.bid, event.ask, at_ms)
        else:
            self.trading.fund(event, market.name, at_ms)

    def flush(self) -> None:
        """See `VenueProtocol`."""
        pending, self._pending = self._pending, {}
        quoted, self._quoted = self._quoted, set()
        now_ms = self._newest_ns // 1_000_000
        for market in self.market.instruments:
            number = self._market_of[market.name]
            if market.name in pending:
                channel = Channel("trade", number)
                self._send(channel, partial(messages.trades, "update", channel, pending[market.name], now_ms))
            if market.name in quoted:
                channel = Channel("ticker", number)
                self._send(channel, partial(self._state, "update", channel, market, now_ms))
            self._send_book(market, Channel("order_book", number), now_ms)

    def _send_book(self, market: InstrumentMarket, channel: Channel, now_ms: int) -> None:
        if not any(channel in one.channels for one in self._connections.values()):
            return
        book = self._books[market.name]
        bids, asks = market.levels(DEPTH)
        sides = (changes(book.bids, bids), changes(book.asks, asks))
        if not any(sides):
            return
        before, book.nonce = book.nonce, book.nonce + 1 + len(sides[0]) + len(sides[1])
        book.bids, book.asks = bids, asks
        text = messages.book("update", channel, market.listed, sides, (before, book.nonce), now_ms)
        self._send(channel, lambda: text)

    def tick(self, now_ns: int) -> int:
        """See `VenueProtocol`."""
        self._ticks += 1
        now_ms = now_ns // 1_000_000
        self.trading.matching.expire_due(now_ms)
        for number, market in self._numbers.items():
            for interval in INTERVALS:
                channel = Channel("candle", number, interval)
                if market.candles.current(interval) is not None:
                    self._send(channel, partial(self._state, "update", channel, market, now_ms))
            if self._ticks % _STATS_EVERY == 0:
                kind = "spot_market_stats" if market.listed.kind == "spot" else "market_stats"
                channel = Channel(kind, number)
                self._send(channel, partial(self._state, "update", channel, market, now_ms))
        self._keep_alive()
        return now_ns + _TICK_NS

    def _keep_alive(self) -> None:
        """Ping the clients, and cut those that send nothing."""
        now = trio.current_time()
        for connection in list(self._connections.values()):
            if now - connection.heard_at > KEEP_ALIVE_S:
                connection.client.abort()
            elif now - connection.pinged_at > PING_S:
                connection.pinged_at = now
                connection.client.send('{"type":"ping"}')

    def _send(self, channel: Channel, text_of: Callable[[], str]) -> None:
        """Send a frame to the clients of a channel; it is made only if there are any."""
        clients = [one.client for one in self._connections.values() if channel in one.channels]
        if clients:
            text = text_of()
            for client in clients:
                client.send(text)


def _plain(levels: list[Level]) -> list[tuple[int, int]]:
    return [(price, size) for price, size, _ in levels]

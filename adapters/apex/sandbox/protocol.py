"""ApeX Omni's protocol on the local exchange: market data over the stream and HTTP. It takes no orders.

Owns what each connection subscribes to, the numbers of books, and what has changed since the last flush.
Promises: the changes of a book count up by one for every client alike, empty ones too; a subscription
begins with the state of its topic. Frames and answers are in `messages.py`. Called by the server of the
local exchange.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Final, Literal
from urllib.parse import parse_qsl

import msgspec
import trio

from adapters.apex.channels import BOOK, STATS, TRADES, symbol_of
from adapters.apex.rules import CANDLES_PAGE, INTERVALS, PERP, RULES
from adapters.apex.sandbox import messages
from adapters.apex.wire import Topic
from adapters.exchange.depth import changes
from adapters.exchange.grid import Level
from adapters.exchange.instruments import InstrumentMarket, Market, Played
from adapters.exchange.limits import Window
from adapters.exchange.market import InstrumentProfile
from adapters.exchange.options import SandboxOptions
from adapters.exchange.protocol import Answer, Client, Request, VenueProtocol
from engine.errors import VenueProtocolError
from engine.events import FundingRead, InstrumentListed, Quote, Trade

__all__ = ["ApexProtocol"]

SNAPSHOT_TRADES: Final = 50
"""How many of the newest trades a subscription begins with."""

KEEP_ALIVE_S: Final = 150.0
"""A client that sends nothing for so long, in real seconds, is cut."""

PING_S: Final = 15.0
DEPTH: Final = 200
REQUESTS_MAX: Final = 600
_TICK_NS: Final = 500_000_000
_STATS_EVERY: Final = 2
_RATES_KEPT: Final = 5_000
_OURS: Final = {theirs: ours for ours, theirs in INTERVALS.items()}


class _Request(msgspec.Struct, frozen=True):
    """A message of a client."""

    op: str = ""
    args: list[str] = []


class _Book:
    """What was last sent of a book, and its number."""

    def __init__(self) -> None:
        self.number = 1
        self.bids: list[Level] = []
        self.asks: list[Level] = []


class _Connection:
    def __init__(self, client: Client) -> None:
        self.client = client
        self.topics: dict[Topic, None] = {}
        self.heard_at = self.pinged_at = trio.current_time()


class ApexProtocol(VenueProtocol):
    """See `VenueProtocol`."""

    ws_path: ClassVar[str] = "/realtime_public"
    # Of a trade only: in a book a size of 0 removes a level, and is right.
    sizes: ClassVar[tuple[str, str] | None] = (r'"v":"[0-9.]+"', '"v":"0"')

    def __init__(self, market: Market, options: SandboxOptions) -> None:
        super().__init__(market, options)
        self._symbols = {symbol_of(one.name): one for one in market.instruments}
        self._books = {one.name: _Book() for one in market.instruments}
        self._connections: dict[Client, _Connection] = {}
        self._requests = Window()
        self._pending: dict[str, list[Trade]] = {}
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
            venue="apex",
            name=f"{profile.name}-USDT",
            price_scale=places,
            size_scale=profile.size_scale,
            silence=RULES.silence,
            ids=RULES.ids,
            rules=msgspec.structs.replace(PERP, base=profile.name),
        )

    # Requests.

    def admit(self, request: Request) -> Answer | None:
        """See `VenueProtocol`: the venue blocks the address."""
        if self._requests.sum() >= REQUESTS_MAX * max(1.0, self.options.speed):
            return Answer(403, "blocked", type="text/plain")
        self._requests.add(1)
        return None

    def answer(self, request: Request, now_ms: int) -> Answer:
        """See `VenueProtocol`. Failures come with HTTP 200."""
        query = dict(parse_qsl(request.query))
        path = request.path.removeprefix("/api/v3/")
        if path == "time":
            return Answer(body=messages.data({"time": now_ms}))
        if path == "symbols":
            return Answer(body=messages.symbols(self.market.instruments))
        market = self._symbols.get(symbol_of(query.get("symbol", "")))
        if market is None:
            return Answer(body=messages.refusal(3, "invalid symbol"))
        try:
            body = self._body(path, market, query)
        except (ValueError, KeyError):
            return Answer(body=messages.refusal(3, "invalid parameter"))
        return Answer(404, "not found", type="text/plain") if body is None else Answer(body=body)

    def _body(self, path: str, market: InstrumentMarket, query: Mapping[str, str]) -> str | None:
        limit = int(query.get("limit", "25"))
        if path == "trades":
            newest = list(market.recent)[-min(limit, 1000) :]
            return messages.data([messages.trade(one, market.listed) for one in reversed(newest)])
        if path == "depth":
            bids, asks = market.levels(min(limit, DEPTH))
            return messages.data(messages.book(market, _plain(bids[::-1]), _plain(asks), 1))
        if path == "klines":
            interval = _OURS[query["interval"]]
            start_ms, end_ms = int(query["start"]) * 1000, int(query["end"]) * 1000
            found = [one for one in market.candles.snapshot(interval) if start_ms <= one.start_ms <= end_ms]
            return messages.klines(market, query["interval"], found[: min(limit, CANDLES_PAGE)])
        if path == "history-funding":
            start_ms, end_ms = int(query["beginTimeInclusive"]), int(query["endTimeExclusive"])
            rates = [
                one
                for one in reversed(self._rates.get(market.name, []))
                if start_ms <= one.venue_ns // 1_000_000 < end_ms
            ]
            at = int(query["page"]) * limit
            return messages.fundings(market.name, rates[at : at + limit], len(rates))
        return None

    # Connections.

    def opens(self, path: str, query: str) -> Answer | None:
        """See `VenueProtocol`."""
        asked = dict(parse_qsl(query))
        good = path == self.ws_path and asked.get("v") == "2" and asked.get("timestamp", "").isdigit()
        return None if good else Answer(404, "not found", type="text/plain")

    def connected(self, client: Client) -> None:
        """See `VenueProtocol`."""
        self._connections[client] = _Connection(client)

    def disconnected(self, client: Client) -> None:
        """See `VenueProtocol`."""
        self._connections.pop(client, None)

    def message(self, client: Client, text: str, now_ms: int) -> None:
        """See `VenueProtocol`."""
        connection = self._connections[client]
        connection.heard_at = trio.current_time()
        try:
            request = msgspec.json.decode(text, type=_Request)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            request = _Request()
        if request.op == "ping":
            client.send(messages.ack(success=True, words="pong", op="ping", args=request.args))
        elif request.op in ("subscribe", "unsubscribe"):
            for arg in request.args:
                self._subscribe(connection, request.op, arg, now_ms)
        elif request.op != "pong":
            client.send(
                messages.ack(success=False, words="error:invalid op", op=request.op, args=request.args)
            )

    def _subscribe(self, connection: _Connection, op: str, arg: str, now_ms: int) -> None:
        client = connection.client
        try:
            topic = Topic.of(arg)
        except VenueProtocolError:
            topic = Topic("", "")
        market = self._symbols.get(topic.symbol)
        words = ""
        if market is None or not _serves(topic):
            words = "error:handler not found"
        elif op == "subscribe" and topic in connection.topics:
            words = f"error:topic:already subscribed {arg}"
        elif op == "subscribe" and len(connection.topics) >= self.options.subscriptions_max:
            words = "error:too many topics"
        client.send(messages.ack(success=not words, words=words, op=op, args=[arg]))
        if words or market is None:
            return
        if op == "unsubscribe":
            connection.topics.pop(topic, None)
            return
        connection.topics[topic] = None
        client.send(self._first(topic, market, now_ms))

    def _first(self, topic: Topic, market: InstrumentMarket, now_ms: int) -> str:
        """Return the state of a topic: trades newest first, bids worst first."""
        if topic.kind == TRADES:
            newest = list(market.recent)[-SNAPSHOT_TRADES:]
            rows = [messages.trade(one, market.listed) for one in reversed(newest)]
            return messages.frame(topic, "snapshot", rows, now_ms)
        if topic.kind == BOOK:
            book = self._books[market.name]
            if not book.bids and not book.asks:
                book.bids, book.asks = market.levels(DEPTH)
            content = messages.book(market, _plain(book.bids[::-1]), _plain(book.asks), book.number)
            return messages.frame(topic, "snapshot", content, now_ms)
        return self._state("snapshot", topic, market, now_ms)

    def _state(
        self, verb: Literal["snapshot", "delta"], topic: Topic, market: InstrumentMarket, now_ms: int
    ) -> str:
        if topic.kind == "candle":
            current = market.candles.current(_OURS[topic.interval])
            rows = [] if current is None else [messages.candle(current, topic.interval, market, now_ms)]
            return messages.frame(topic, verb, rows, now_ms)
        return messages.frame(topic, verb, messages.ticker(market, whole=verb == "snapshot"), now_ms)

    def channel(self, text: str) -> tuple[str, Literal["market", "user", ""]]:
        """See `VenueProtocol`."""
        kind = messages.kind_of(text)
        return (kind, "market") if kind else ("", "")

    # The tape.

    def play(self, event: Played) -> None:
        """See `VenueProtocol`."""
        super().play(event)
        name = self.market.by_number[event.instrument].name
        if isinstance(event, FundingRead):
            self._rates.setdefault(name, []).append(event)
            del self._rates[name][:-_RATES_KEPT]
            return
        if isinstance(event, Trade):
            self._pending.setdefault(name, []).append(event)
        if isinstance(event, Trade | Quote):
            self._newest_ns = max(self._newest_ns, event.recv_ns)

    def flush(self) -> None:
        """See `VenueProtocol`."""
        pending, self._pending = self._pending, {}
        now_ms = self._newest_ns // 1_000_000
        for symbol, market in self._symbols.items():
            topic = Topic(TRADES, symbol)
            if market.name in pending:
                rows = [messages.trade(one, market.listed) for one in pending[market.name]]
                self._send(topic, partial(messages.frame, topic, "delta", rows, now_ms))
            self._send_book(market, Topic(BOOK, symbol), now_ms, empty=False)

    def _send_book(self, market: InstrumentMarket, topic: Topic, now_ms: int, *, empty: bool) -> None:
        """Send what changed of a book; `empty`: even nothing."""
        if not any(topic in one.topics for one in self._connections.values()):
            return
        book = self._books[market.name]
        bids, asks = market.levels(DEPTH)
        sides = (changes(book.bids, bids), changes(book.asks, asks))
        if not any(sides) and not empty:
            return
        book.number += 1
        book.bids, book.asks = bids, asks
        content = messages.book(market, *sides, book.number)
        self._send(topic, partial(messages.frame, topic, "delta", content, now_ms))

    def tick(self, now_ns: int) -> int:
        """See `VenueProtocol`."""
        self._ticks += 1
        now_ms = now_ns // 1_000_000
        for symbol, market in self._symbols.items():
            for interval in INTERVALS.values():
                topic = Topic("candle", symbol, interval)
                self._send(topic, partial(self._state, "delta", topic, market, now_ms))
            if self._ticks % _STATS_EVERY == 0:
                topic = Topic(STATS, symbol)
                self._send(topic, partial(self._state, "delta", topic, market, now_ms))
            self._send_book(market, Topic(BOOK, symbol), now_ms, empty=True)
        self._keep_alive(now_ms)
        return now_ns + _TICK_NS

    def _keep_alive(self, now_ms: int) -> None:
        """Ping the clients, and cut those that send nothing."""
        now = trio.current_time()
        for connection in list(self._connections.values()):
            if now - connection.heard_at > KEEP_ALIVE_S:
                connection.client.abort()
            elif now - connection.pinged_at > PING_S:
                connection.pinged_at = now
                connection.client.send(f'{{"op":"ping","args":["{now_ms}"]}}')

    def _send(self, topic: Topic, text_of: Callable[[], str]) -> None:
        """Send a frame to the clients of a topic; it is made only if there are any."""
        clients = [one.client for one in self._connections.values() if topic in one.topics]
        if clients:
            text = text_of()
            for client in clients:
                client.send(text)


def _serves(topic: Topic) -> bool:
    return topic.interval in _OURS if topic.kind == "candle" else topic.kind in (TRADES, BOOK, STATS)


def _plain(levels: list[Level]) -> list[tuple[int, int]]:
    return [(price, size) for price, size, _ in levels]

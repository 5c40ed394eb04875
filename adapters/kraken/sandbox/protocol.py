"""Kraken's protocol for the local exchange: the public calls of `/0/public/` and the websocket `/v2`.

Owns the connections and what each is subscribed to. Promises: trades come before quotes, books and candles of
the same moment; a book is a snapshot and then changes, each with the checksum of the book after it; a pong
follows everything that happened before its ping. Market data only. Run by the local exchange.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, Final, Literal

import msgspec

from adapters.exchange.depth import changes
from adapters.exchange.instruments import Market, Played
from adapters.exchange.options import SandboxOptions
from adapters.exchange.protocol import Answer, Client, Request
from adapters.exchange.spot import Numbered, SpotProtocol, object_of
from adapters.kraken.channels import VENUE_INTERVALS, minutes_of
from adapters.kraken.rules import DEPTHS, RULES, SPOT
from adapters.kraken.sandbox.pairs import BACKLOG, Pair, Sides, checksum, frame, symbol_of
from adapters.kraken.sandbox.rest import answer
from engine.clock import SECOND_NS
from engine.events import BookRead, MarketRules, Quote, Trade
from engine.values import parse_interval
from engine.venue import Rules

__all__ = ["KrakenProtocol"]

_INTERVALS: Final = {minutes_of(parse_interval(name)): name for name in VENUE_INTERVALS}
_STATUS: Final = '{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2"}]}'
_HEARTBEAT: Final = '{"channel":"heartbeat"}'

Topic = tuple[str, str, int]
"""A channel, a symbol, and the depth of a book or the interval of candles in minutes."""


class KrakenProtocol(SpotProtocol):
    """See `VenueProtocol`."""

    venue: ClassVar[str] = "kraken"
    public: ClassVar[str] = "/0/public/"
    rules: ClassVar[Rules] = RULES
    spot: ClassVar[MarketRules] = SPOT
    name_of = staticmethod(symbol_of)
    ws_path: ClassVar[str] = "/v2"
    sizes: ClassVar[tuple[str, str] | None] = (r'"qty":[0-9.]+', '"qty":0')

    def __init__(self, market: Market, options: SandboxOptions) -> None:
        super().__init__(market, options)
        self._pairs = {number: Pair(one) for number, one in market.by_number.items()}
        self._by_symbol = {pair.name: pair for pair in self._pairs.values()}
        self._topics: dict[Client, dict[Topic, None]] = {}
        self._sent: dict[Client, bool] = {}  # whether data was sent since the last heartbeat
        # Since the last flush, by symbol:
        self._trades: dict[str, list[Numbered]] = {}
        self._quotes: dict[str, Quote] = {}
        self._changed: dict[str, int] = {}  # the time of the newest change of the book
        self._books: dict[tuple[str, int], Sides] = {}  # what was sent last, by symbol and depth
        self._pings: deque[tuple[int, Client, int]] = deque()
        self._beat_ns = 0

    @property
    def pairs(self) -> list[Pair]:
        """The pairs and their trades."""
        return list(self._pairs.values())

    # Requests.

    def answer(self, request: Request, now_ms: int) -> Answer:
        """See `VenueProtocol.answer`."""
        return answer(self._by_symbol, request.path.removeprefix(self.public), request.query, now_ms)

    # Connections.

    def connected(self, client: Client) -> None:
        """See `VenueProtocol.connected`."""
        self._topics[client] = {}
        self._sent[client] = False
        client.send(_STATUS)

    def disconnected(self, client: Client) -> None:
        """See `VenueProtocol.disconnected`."""
        self._topics.pop(client, None)
        self._sent.pop(client, None)

    def message(self, client: Client, text: str, now_ms: int) -> None:
        """See `VenueProtocol.message`."""
        request = object_of(text)
        if request is None:
            client.send('{"error":"Malformed JSON","success":false}')
            return
        method, number = request.get("method"), request.get("req_id")
        number = number if isinstance(number, int) and abs(number) < 2**63 else 0
        params = request.get("params")
        if method == "ping":
            self._pings.append((self.server.arrived_ns, client, number))
            self._answer_pings(self.server.reached_ns)
        elif method in ("subscribe", "unsubscribe") and isinstance(params, dict):
            symbols = params.get("symbol")
            for symbol in symbols if isinstance(symbols, list) else [symbols]:
                self._subscribe(client, method, params, str(symbol), number)
        else:
            client.send(_answer(str(method)[:40], number, error="Unsupported method"))

    def channel(self, text: str) -> tuple[str, Literal["market", "user", ""]]:
        """See `VenueProtocol.channel`."""
        if not text.startswith('{"channel":"'):
            return "", ""
        name = text[12 : text.index('"', 12)]
        return ("", "") if name in ("status", "heartbeat") else (name, "market")

    def _subscribe(
        self, client: Client, method: str, params: dict[str, Any], symbol: str, number: int
    ) -> None:
        topic = _topic(params, symbol)
        pair = self._by_symbol.get(symbol)
        if pair is None or topic is None:
            error = "Subscription invalid" if topic is None else f"Currency pair not supported {symbol[:40]}"
            client.send(_answer(method, number, error=error))
            return
        topics = self._topics[client]
        result: dict[str, Any] = {"channel": topic[0], "symbol": symbol}
        result |= {"interval": topic[2]} if topic[0] == "ohlc" else {}
        if method == "unsubscribe":
            if topics.pop(topic, topic) is topic:
                client.send(_answer(method, number, error="Subscription Not Found"))
            else:
                client.send(_answer(method, number, result))
            return
        if topic in topics:
            client.send(_answer(method, number, error="Already subscribed"))
            return
        self.flush()  # the snapshot has all before it
        topics[topic] = None
        client.send(_answer(method, number, result))
        if topic[0] == "book" or params.get("snapshot") is True:
            snapshot = self._snapshot(pair, topic)
            if snapshot:
                client.send(snapshot)

    # The tape.

    def play(self, event: Played) -> None:
        """See `VenueProtocol.play`."""
        super().play(event)
        pair = self._pairs[event.instrument]
        if isinstance(event, Trade):
            self._trades.setdefault(pair.name, []).append(pair.add(event))
        elif isinstance(event, Quote | BookRead):
            if isinstance(event, Quote):
                self._quotes[pair.name] = event
            self._changed[pair.name] = event.venue_ns

    def flush(self) -> None:
        """See `VenueProtocol.flush`."""
        wanted = dict.fromkeys(topic for topics in self._topics.values() for topic in topics)
        frames: dict[Topic, str] = {}
        for topic in sorted(wanted, key=lambda one: ("trade", "ticker", "book", "ohlc").index(one[0])):
            text = self._update(self._by_symbol[topic[1]], topic)
            if text:
                frames[topic] = text
        for client, topics in self._topics.items():
            for topic, text in frames.items():
                if topic in topics:
                    client.send(text)
                    self._sent[client] = True
        for known in [known for known in self._books if ("book", *known) not in wanted]:
            del self._books[known]
        self._trades.clear()
        self._quotes.clear()
        self._changed.clear()

    def tick(self, now_ns: int) -> int:
        """See `VenueProtocol.tick`: a heartbeat for who got nothing for a second."""
        self._answer_pings(now_ns)
        if now_ns >= self._beat_ns:
            self._beat_ns = now_ns + int(SECOND_NS * self.options.speed)
            for client, topics in self._topics.items():
                if topics and not self._sent[client]:
                    client.send(_HEARTBEAT)
                self._sent[client] = False
        return self._beat_ns

    def _answer_pings(self, reached_ns: int) -> None:
        """Answer the pings whose time the tape has reached, so that a pong follows all events before it."""
        while self._pings and self._pings[0][0] <= reached_ns:
            _, client, number = self._pings.popleft()
            client.send(msgspec.json.encode({"method": "pong", "req_id": number}).decode())

    def _update(self, pair: Pair, topic: Topic) -> str:
        """Return the frame of a topic for what changed since the last flush, "" for nothing."""
        channel, symbol, option = topic
        if channel == "trade":
            trades = self._trades.get(symbol, [])
            return frame(channel, "update", [pair.trade_row(one) for one in trades]) if trades else ""
        if channel == "ticker":
            quote = self._quotes.get(symbol)
            return "" if quote is None else frame(channel, "update", [pair.ticker_row(quote)])
        if channel == "ohlc":
            candle = pair.market.candles.current(_INTERVALS[option])
            if symbol not in self._trades or candle is None:
                return ""
            return frame(channel, "update", [pair.candle_row(candle, option)])
        if symbol not in self._changed or (symbol, option) not in self._books:
            return ""
        before, after = self._books[symbol, option], _levels(pair, option)
        self._books[symbol, option] = after
        sides = [changes(old, new) for old, new in zip(before, after, strict=True)]
        if not any(sides):
            return ""
        return frame(channel, "update", [pair.book_row(sides, checksum(after), self._changed[symbol])])

    def _snapshot(self, pair: Pair, topic: Topic) -> str:
        """Return the snapshot of a topic, "" if there is nothing yet."""
        channel, symbol, option = topic
        if channel == "trade":
            trades = list(pair.trades)[-BACKLOG:]
            return frame(channel, "snapshot", [pair.trade_row(one) for one in trades]) if trades else ""
        if channel == "ticker":
            quote = pair.market.quote
            return "" if quote is None else frame(channel, "snapshot", [pair.ticker_row(quote)])
        if channel == "ohlc":
            candles = pair.market.candles.snapshot(_INTERVALS[option])[-BACKLOG:]
            rows = [pair.candle_row(one, option) for one in candles]
            return frame(channel, "snapshot", rows) if rows else ""
        quote = pair.market.quote
        sides = self._books.setdefault((symbol, option), _levels(pair, option))
        levels = [[(price, size) for price, size, _ in side] for side in sides]
        venue_ns = self.server.reached_ns if quote is None else quote.venue_ns
        return frame(channel, "snapshot", [pair.book_row(levels, checksum(sides), venue_ns)])


def _levels(pair: Pair, depth: int) -> Sides:
    bids, asks = pair.market.levels(depth)
    return tuple(bids), tuple(asks)


def _topic(params: dict[str, Any], symbol: str) -> Topic | None:
    """Return what a subscription is about, None if it is invalid."""
    channel = params.get("channel")
    if channel in ("trade", "ticker"):
        return str(channel), symbol, 0
    if channel == "book":
        depth = params.get("depth", DEPTHS[0])
        return ("book", symbol, depth) if depth in DEPTHS else None
    if channel == "ohlc":
        minutes = params.get("interval", 1)
        return ("ohlc", symbol, minutes) if minutes in _INTERVALS else None
    return None


def _answer(method: str, number: int, result: dict[str, Any] | None = None, error: str = "") -> str:
    said: dict[str, Any] = {"error": error} if result is None else {"result": result}
    return msgspec.json.encode(
        {"method": method, "req_id": number, "success": result is not None} | said
    ).decode()

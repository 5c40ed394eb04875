"""Coinbase's protocol for the local exchange: the public calls of `/api/v3/brokerage/` and the websocket.

Owns the connections, what each is subscribed to, and the numbers of its messages. Promises: trades come
before quotes, books and candles of the same moment; a book is a snapshot and then changes; every message of a
connection has the next number; a heartbeat is sent once a second to who asked for it. Market data only. Run
by the local exchange.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

import msgspec

from adapters.coinbase.rules import RULES, SPOT
from adapters.coinbase.sandbox.markets import ProductMarket, product_name
from adapters.coinbase.sandbox.rest import answer
from adapters.exchange.depth import changes
from adapters.exchange.grid import Level
from adapters.exchange.instruments import Market, Played
from adapters.exchange.options import SandboxOptions
from adapters.exchange.protocol import Answer, Client, Request
from adapters.exchange.spot import Numbered, SpotProtocol, object_of, time_text
from engine.clock import SECOND_NS
from engine.events import BookRead, MarketRules, Quote, Trade
from engine.venue import Rules

__all__ = ["CoinbaseProtocol"]

_ORDER: Final = ("market_trades", "ticker", "level2", "candles")
_BACKLOG: Final = 100
_DEPTH: Final = 50

Topic = tuple[str, str]
"""A channel and a product; "" for heartbeats."""
_HEARTBEATS: Final[Topic] = ("heartbeats", "")
_Sides = tuple[list[Level], list[Level]]


class CoinbaseProtocol(SpotProtocol):
    """See `VenueProtocol`."""

    venue: ClassVar[str] = "coinbase"
    public: ClassVar[str] = "/api/v3/brokerage/"
    rules: ClassVar[Rules] = RULES
    spot: ClassVar[MarketRules] = SPOT
    name_of = staticmethod(product_name)
    ws_path: ClassVar[str] = "/ws"
    sizes: ClassVar[tuple[str, str] | None] = (r'"size":"[^"]*"', '"size":"0"')

    def __init__(self, market: Market, options: SandboxOptions) -> None:
        super().__init__(market, options)
        self._products = {number: ProductMarket(one) for number, one in market.by_number.items()}
        self._by_name = {product.name: product for product in self._products.values()}
        self._topics: dict[Client, dict[Topic, None]] = {}
        self._numbers: dict[Client, int] = {}
        # Since the last flush, by product:
        self._trades: dict[str, list[Numbered]] = {}
        self._quotes: dict[str, Quote] = {}
        self._changed: dict[str, None] = {}
        self._books: dict[str, _Sides] = {}  # what was sent last
        self._beat_ns = 0

    @property
    def products(self) -> list[ProductMarket]:
        """The products and their trades."""
        return list(self._products.values())

    # Requests.

    def answer(self, request: Request, now_ms: int) -> Answer:
        """See `VenueProtocol.answer`."""
        return answer(self._by_name, request.path.removeprefix(self.public), request.query, now_ms)

    # Connections.

    def connected(self, client: Client) -> None:
        """See `VenueProtocol.connected`."""
        self._topics[client] = {}
        self._numbers[client] = 0

    def disconnected(self, client: Client) -> None:
        """See `VenueProtocol.disconnected`."""
        self._topics.pop(client, None)
        self._numbers.pop(client, None)

    def message(self, client: Client, text: str, now_ms: int) -> None:
        """See `VenueProtocol.message`."""
        request = object_of(text) or {}
        kind, channel = request.get("type"), str(request.get("channel"))
        if kind not in ("subscribe", "unsubscribe") or channel not in (*_ORDER, "heartbeats"):
            client.send('{"type":"error","message":"invalid request"}')
            return
        names = request.get("product_ids") or []
        wanted = [(channel, str(name)) for name in names] if isinstance(names, list) else []
        unknown = [name for _, name in wanted if name not in self._by_name]
        if unknown and channel != "heartbeats":
            client.send(
                msgspec.json.encode({"type": "error", "message": f"{unknown[0][:40]} is not valid"}).decode()
            )
            return
        self.flush()  # the snapshots have all before them
        topics = self._topics[client]
        for topic in [_HEARTBEATS] if channel == "heartbeats" else wanted:
            if kind == "unsubscribe":
                topics.pop(topic, None)
            elif topic not in topics:
                topics[topic] = None
                event = self._snapshot(topic)
                if event:
                    self._send(client, topic[0], [event])
        self._send(client, "subscriptions", [{"subscriptions": _listed(topics)}])

    def channel(self, text: str) -> tuple[str, Literal["market", "user", ""]]:
        """See `VenueProtocol.channel`."""
        if not text.startswith('{"channel":"'):
            return "", ""
        name = text[12 : text.index('"', 12)]
        return ("", "") if name == "subscriptions" else (name, "market")

    # The tape.

    def play(self, event: Played) -> None:
        """See `VenueProtocol.play`."""
        super().play(event)
        product = self._products[event.instrument]
        if isinstance(event, Trade):
            self._trades.setdefault(product.name, []).append(product.add(event))
        elif isinstance(event, Quote | BookRead):
            if isinstance(event, Quote):
                self._quotes[product.name] = event
            self._changed[product.name] = None

    def flush(self) -> None:
        """See `VenueProtocol.flush`."""
        wanted = dict.fromkeys(
            topic for topics in self._topics.values() for topic in topics if topic != _HEARTBEATS
        )
        events: list[tuple[Topic, dict[str, Any]]] = []
        for topic in sorted(wanted, key=lambda one: _ORDER.index(one[0])):
            event = self._update(topic)
            if event:
                events.append((topic, event))
        for client, topics in list(self._topics.items()):
            for topic, event in events:
                if topic in topics:
                    self._send(client, topic[0], [event])
        for name in [name for name in self._books if ("level2", name) not in wanted]:
            del self._books[name]
        self._trades.clear()
        self._quotes.clear()
        self._changed.clear()

    def tick(self, now_ns: int) -> int:
        """See `VenueProtocol.tick`: heartbeats."""
        if now_ns >= self._beat_ns:
            self._beat_ns = now_ns + int(SECOND_NS * self.options.speed)
            beat = {"current_time": time_text(now_ns), "heartbeat_counter": now_ns // SECOND_NS}
            for client, topics in list(self._topics.items()):
                if _HEARTBEATS in topics:
                    self._send(client, "heartbeats", [beat])
        return self._beat_ns

    def _send(self, client: Client, channel: str, events: list[dict[str, Any]]) -> None:
        """Send a message with the next number of its connection."""
        number = self._numbers.get(client, 0)
        self._numbers[client] = number + 1
        frame = {
            "channel": "l2_data" if channel == "level2" else channel,
            "client_id": "",
            "timestamp": time_text(self.server.reached_ns),
            "sequence_num": number,
            "events": events,
        }
        client.send(msgspec.json.encode(frame).decode())

    def _update(self, topic: Topic) -> dict[str, Any]:
        """Return the event of a topic for what changed since the last flush, empty for nothing."""
        channel, name = topic
        product = self._by_name[name]
        if channel == "market_trades":
            trades = [product.trade(one) for one in reversed(self._trades.get(name, []))]
            return {"type": "update", "trades": trades} if trades else {}
        if channel == "ticker":
            quote = self._quotes.get(name)
            return {} if quote is None else {"type": "update", "tickers": [product.ticker(quote)]}
        if channel == "candles":
            candle = product.market.candles.current("5m") if name in self._trades else None
            return {} if candle is None else {"type": "update", "candles": [product.candle(candle)]}
        if name not in self._changed or name not in self._books:
            return {}
        before = self._books[name]
        after = self._books[name] = product.market.levels(_DEPTH)
        sides = [changes(old, new) for old, new in zip(before, after, strict=True)]
        return self._book(product, "update", sides) if any(sides) else {}

    def _snapshot(self, topic: Topic) -> dict[str, Any]:
        """Return the snapshot of a topic, empty if there is nothing yet."""
        channel, name = topic
        if topic == _HEARTBEATS:
            return {}
        product = self._by_name[name]
        if channel == "market_trades":
            trades = [product.trade(one) for one in list(product.trades)[-_BACKLOG:]]
            return {"type": "snapshot", "trades": trades[::-1]} if trades else {}
        if channel == "ticker":
            quote = product.market.quote
            return {} if quote is None else {"type": "snapshot", "tickers": [product.ticker(quote)]}
        if channel == "candles":
            candles = [product.candle(one) for one in product.market.candles.snapshot("5m")[-_BACKLOG:]]
            return {"type": "snapshot", "candles": candles[::-1]} if candles else {}
        sides = self._books.setdefault(name, product.market.levels(_DEPTH))
        return self._book(product, "snapshot", [[(price, size) for price, size, _ in side] for side in sides])

    def _book(self, product: ProductMarket, kind: str, sides: list[list[tuple[int, int]]]) -> dict[str, Any]:
        at = time_text(self.server.reached_ns)
        updates = [
            {
                "side": side,
                "event_time": at,
                "price_level": product.price(price),
                "new_quantity": product.size(size),
            }
            for side, levels in zip(("bid", "offer"), sides, strict=True)
            for price, size in levels
        ]
        return {"type": kind, "product_id": product.name, "updates": updates}


def _listed(topics: dict[Topic, None]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for channel, name in topics:
        found.setdefault(channel, []).append(name or channel)
    return found

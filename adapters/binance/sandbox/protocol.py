"""Binance's protocol for the local exchange: combined and raw streams, REST of market data, limits.

Owns the subscriptions of connections and the pace of frames. Promises: whatever a client sends gets an answer
of the venue's form, or ends its connection where the venue would end it; a stream asked for on a root that
does not carry it stays silent, and a name that does not exist is accepted, both as on the venue. Called by
the server of `adapters/exchange`. `answers.py` has the requests of market data, `trading.py` accounts and
orders: an account is `--account KEY:SECRET:USDT`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal

import msgspec

from adapters.binance.markets import SPOT, STATISTICS, USDM, Market
from adapters.binance.rules import FUNDING_HOURS, PERP, SPOT_MARKET, SPOT_RULES, USDM_RULES
from adapters.binance.sandbox.answers import Answers, error
from adapters.binance.sandbox.state import SymbolState
from adapters.binance.sandbox.trading import Trading, accounts_of
from adapters.binance.wire import kind_of
from adapters.exchange.instruments import Market as Tape
from adapters.exchange.instruments import Played
from adapters.exchange.limits import Window
from adapters.exchange.market import InstrumentProfile
from adapters.exchange.options import SandboxOptions
from adapters.exchange.protocol import Answer, Client, Request, Scope, VenueProtocol
from engine.errors import UsageError
from engine.events import InstrumentListed, LiquidationRead, Quote, Trade
from engine.values import SELL

__all__ = ["BinanceProtocol", "BinanceUsdmProtocol"]

_DEPTH_NS: Final = 100_000_000
_SECOND_NS: Final = 1_000_000_000
_MS_NS: Final = 1_000_000
_QUOTE: Final = "USDT"
_EVENT: Final = re.compile(r'"e":"([A-Za-z_]+)"')
_STREAM: Final = re.compile(r'^\{"stream":"([^"]+)"')
_USER: Final = re.compile(r"/ws-api/v3|/private/ws(?:/[A-Za-z0-9]+)?")
_USER_EVENTS: Final = frozenset(
    {
        "executionReport",
        "outboundAccountPosition",
        "balanceUpdate",
        "ORDER_TRADE_UPDATE",
        "ACCOUNT_UPDATE",
        "ALGO_UPDATE",
        "listenKeyExpired",
    }
)
_PATHS: Final = re.compile(r"(/public|/market|/private)?/(stream|ws)(?:/([^?]*))?")
_BODY_MAX: Final = 1 << 16

_encode = msgspec.json.encode


class _Connection:
    """The streams of one client, since `since_ns`. `combined`: events bear the name of their stream."""

    def __init__(self, root: str, since_ns: int, *, combined: bool) -> None:
        self.root = root
        self.since_ns = since_ns
        self.combined = combined
        self.streams: dict[str, None] = {}
        self.messages = Window(1)


class BinanceProtocol(VenueProtocol):
    """Spot. See `VenueProtocol`."""

    ws_path: ClassVar[str] = ""
    sizes: ClassVar[tuple[str, str] | None] = (r'"q":"[^"]*"', '"q":"0"')
    venue: ClassVar[Market] = SPOT
    lifetime_s: ClassVar[float] = 86_400
    """A connection for market data is cut after so long, in the exchange's time."""

    def __init__(self, market: Tape, options: SandboxOptions) -> None:
        super().__init__(market, options)
        spot = self.venue.kind == "spot"
        self.symbols = {one.name: SymbolState(one, spot=spot) for one in market.instruments}
        self._by_number = {one.listed.instrument: self.symbols[one.name] for one in market.instruments}
        self._by_stream = {name.lower(): state for name, state in self.symbols.items()}
        self._answers = Answers(self.venue, self.symbols)
        self.trading = Trading(market.by_name, accounts_of(options.accounts, _QUOTE), spot=spot)
        self._connections: dict[Client, _Connection] = {}
        self._weight = Window(60)
        # Questions that came before the tape reached their time: the answer follows all events before it.
        self._questions: deque[tuple[int, Client, str]] = deque()
        self._depth_due_ns = 0
        self._second_due_ns = 0

    @classmethod
    def lists(cls, profile: InstrumentProfile, number: int, recv_ns: int) -> InstrumentListed:
        """See `VenueProtocol.lists`: BTC is BTCUSDT."""
        places = 6 - profile.size_scale if profile.price_places is None else profile.price_places
        spot = cls.venue.kind == "spot"
        rules = msgspec.structs.replace(
            SPOT_MARKET if spot else PERP,
            base=profile.name,
            quote=_QUOTE,
            **({} if spot else {"funding_s": FUNDING_HOURS * 3600}),
        )
        custom = SPOT_RULES if spot else USDM_RULES
        return InstrumentListed(
            recv_ns=recv_ns,
            instrument=number,
            venue=cls.venue.venue,
            name=profile.name + _QUOTE,
            price_scale=places,
            size_scale=profile.size_scale,
            price_step=profile.price_step,
            size_step=profile.size_step,
            kind=cls.venue.kind,
            silence=custom.silence,
            ids=custom.ids,
            rules=rules,
        )

    @classmethod
    def check(cls, options: SandboxOptions) -> None:
        """See `VenueProtocol.check`: accounts are API key and secret."""
        accounts_of(options.accounts, _QUOTE)
        if options.volumes:
            raise UsageError(f"the sandbox of {cls.venue_name()} has the same fees for all; remove --volume")

    # Requests.

    def scope(self, request: Request) -> Scope | Answer:
        """See `VenueProtocol.scope`."""
        if self.trading.knows(request.method, request.path):
            return "exchange"
        if not request.path.startswith((self.venue.api + "/", STATISTICS + "/")):
            return error(-1000, "There is nothing at this path.", 404)
        return "info"

    def admit(self, request: Request) -> Answer | None:
        """See `VenueProtocol.admit`: the weight of the last minute."""
        path = self._path(request)
        self._weight.add(self.venue.weights.get(path, 1))
        within = self._weight.sum() <= self.venue.limits.weight.amount * self.options.speed
        return None if within else self.too_many(5)

    def too_many(self, after_s: int) -> Answer:
        """See `VenueProtocol.too_many`."""
        answer = error(-1003, "Too many requests.", 429)
        headers = {"retry-after": str(after_s)} if after_s else {}
        return msgspec.structs.replace(answer, headers=headers)

    def answer(self, request: Request, now_ms: int) -> Answer:
        """See `VenueProtocol.answer`."""
        if self.trading.knows(request.method, request.path):
            return self._answer_account(request, now_ms)
        path = self._path(request)
        found = self._answers.answer(path, request.query, now_ms) if request.method == "GET" else None
        if found is None:
            return error(-1000, "There is nothing at this path.", 404)
        used = str(int(self._weight.sum() / self.options.speed))
        return msgspec.structs.replace(found, headers={**found.headers, "x-mbx-used-weight-1m": used})

    def _path(self, request: Request) -> str:
        """Return a path behind the market's root, or behind that of statistics."""
        return request.path.removeprefix(self.venue.api + "/").removeprefix(STATISTICS + "/")

    def _answer_account(self, request: Request, now_ms: int) -> Answer:
        reply = self.trading.answer(
            request.method, request.path, request.query, request.headers, request.body, now_ms
        )
        used = str(int(self._weight.sum() / self.options.speed))
        return Answer(reply.status, reply.body, {"x-mbx-used-weight-1m": used})

    # Connections.

    def opens(self, path: str, query: str) -> Answer | None:
        """See `VenueProtocol.opens`."""
        return None if _PATHS.fullmatch(path) or _USER.fullmatch(path) else Answer(404)

    def connected(self, client: Client) -> None:
        """See `VenueProtocol.connected`."""
        if _USER.fullmatch(client.path):
            self.trading.user_data.connected(client, client.path, client.query)
            return
        match = _PATHS.fullmatch(client.path)
        assert match is not None, "only such a path is opened"
        root, kind, named = match.groups()
        connection = _Connection(root or "", self.server.reached_ns, combined=kind == "stream")
        self._connections[client] = connection
        if kind == "stream" and client.query.startswith("streams="):
            named = client.query.removeprefix("streams=").partition("&")[0]
        for name in (named or "").split("/"):
            if name:
                connection.streams[name] = None

    def disconnected(self, client: Client) -> None:
        """See `VenueProtocol.disconnected`."""
        self._connections.pop(client, None)
        self.trading.user_data.disconnected(client)
        self._questions = deque(one for one in self._questions if one[1] is not client)

    def message(self, client: Client, text: str, now_ms: int) -> None:
        """See `VenueProtocol.message`: a control frame."""
        connection = self._connections.get(client)
        if connection is None:
            if _USER.fullmatch(client.path):
                self.trading.message(client, text, now_ms)
            return
        connection.messages.add(1)
        limit = self.venue.limits.messages.amount * max(1.0, self.options.speed)
        if self.options.rate_limit and connection.messages.sum() > limit:
            client.abort()
            return
        answer = self._control(connection, text)
        if '"GET_PROPERTY"' in text:
            self._questions.append((self.server.arrived_ns, client, answer))
            self._answer_questions(self.server.reached_ns)
        else:
            client.send(answer)

    def channel(self, text: str) -> tuple[str, Literal["market", "user", ""]]:
        """See `VenueProtocol.channel`."""
        stream = _STREAM.match(text)
        if stream is not None:
            return kind_of(stream[1])[0], "market"
        event = _EVENT.search(text)
        if event is not None and event[1] in _USER_EVENTS:
            return event[1], "user"
        return (event[1], "market") if event is not None else ("", "")

    def _control(self, connection: _Connection, text: str) -> str:
        """Apply a control frame; return its answer."""
        try:
            request = msgspec.json.decode(text[:_BODY_MAX])
            method, params, number = request["method"], request.get("params", []), request.get("id")
        except (msgspec.MsgspecError, UnicodeError, RecursionError, KeyError, TypeError, AttributeError):
            return _failure(None, 3, "Invalid JSON: expected value")
        if number is not None and type(number) not in (int, str):
            return _failure(None, 2, "Invalid request: request ID must be an unsigned integer")
        if not isinstance(params, list) or not all(isinstance(one, str | bool) for one in params):
            return _failure(number, 2, "Invalid request: params must be a list")
        result: Any = None
        names = [one for one in params if isinstance(one, str)]
        if method == "SUBSCRIBE":
            if len(connection.streams) + len(names) > 1024:
                return _failure(number, 2, "Invalid request: too many streams")
            connection.streams |= dict.fromkeys(names)
        elif method == "UNSUBSCRIBE":
            for name in names:
                connection.streams.pop(name, None)
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(connection.streams)
        elif method == "GET_PROPERTY":
            result = connection.combined
        elif method == "SET_PROPERTY" and len(params) == 2 and params[0] == "combined":
            connection.combined = bool(params[1])
        else:
            return _failure(number, 2, "Invalid request: unknown method")
        return _encode({"result": result, "id": number}).decode()

    # The tape.

    def play(self, event: Played) -> None:
        """See `VenueProtocol.play`."""
        super().play(event)
        state = self._by_number[event.instrument]
        if isinstance(event, Trade):
            at_ms = event.venue_ns // _MS_NS
            self.trading.add_trade(state.name, event.price, event.size, event.aggressor, at_ms)
            self._send_trade(state, event)
        elif isinstance(event, Quote):
            self.trading.add_quote(state.name, event.bid, event.ask, event.venue_ns // _MS_NS)
            self._send_quote(state, event)
        elif isinstance(event, LiquidationRead):
            self._send_liquidation(state, event)

    def flush(self) -> None:
        """See `VenueProtocol.flush`. Nothing waits: frames are sent as their events are played."""

    def tick(self, now_ns: int) -> int:
        """See `VenueProtocol.tick`: diffs of books, candles and marks, each at its own pace."""
        if now_ns >= self._depth_due_ns:
            self._depth_due_ns = (now_ns // _DEPTH_NS + 1) * _DEPTH_NS
            for state in self.symbols.values():
                self._send_diff(state, now_ns // _MS_NS)
        if now_ns >= self._second_due_ns:
            self._second_due_ns = (now_ns // _SECOND_NS + 1) * _SECOND_NS
            self._send_candles(now_ns // _MS_NS)
            if self.venue.kind == "perp":
                for state in self.symbols.values():
                    self._send_mark(state, now_ns // _MS_NS)
            self._cut_old(now_ns - int(self.lifetime_s * _SECOND_NS))
        self.trading.user_data.expire(now_ns // _MS_NS)
        self._answer_questions(now_ns)
        return min(self._depth_due_ns, self._second_due_ns)

    def _cut_old(self, before_ns: int) -> None:
        for client in [
            one for one, connection in self._connections.items() if connection.since_ns < before_ns
        ]:
            client.abort()

    def _answer_questions(self, reached_ns: int) -> None:
        while self._questions and self._questions[0][0] <= reached_ns:
            _, client, answer = self._questions.popleft()
            client.send(answer)

    def _send_trade(self, state: SymbolState, trade: Trade) -> None:
        one = state.add(trade)
        common = {"E": one.time_ms, "s": state.name, "p": one.price, "q": one.size, "T": one.time_ms}
        common |= {"m": one.buyer_is_maker, **self._family()}
        numbers = {"a": one.number, "f": one.number, "l": one.number}
        self._send(state, ("aggTrade",), {"e": "aggTrade", **common, **numbers})
        self._send(state, ("trade",), {"e": "trade", **common, "t": one.number})

    def _send_quote(self, state: SymbolState, quote: Quote) -> None:
        event: dict[str, Any] = {
            "u": state.touch(),
            "s": state.name,
            "b": state.price(quote.bid),
            "B": state.size(quote.bid_size),
            "a": state.price(quote.ask),
            "A": state.size(quote.ask_size),
        }
        if self.venue.kind == "perp":
            at_ms = quote.venue_ns // _MS_NS
            event = {"e": "bookTicker", **event, "T": at_ms, "E": at_ms, **self._family()}
        self._send(state, ("bookTicker",), event)

    def _send_diff(self, state: SymbolState, now_ms: int) -> None:
        found = state.diff()
        if found is None:
            return
        first, last, before, bids, asks = found
        event: dict[str, Any] = {"e": "depthUpdate", "E": now_ms, "s": state.name, "U": first, "u": last}
        if self.venue.kind == "perp":
            event |= {"T": now_ms, "pu": before, **self._family()}
        event |= {"b": state.levels(bids), "a": state.levels(asks)}
        self._send(state, ("depth", "depth@100ms"), event)

    def _send_candles(self, now_ms: int) -> None:
        """State the candles that somebody reads."""
        wanted: dict[tuple[str, str], None] = {}
        for connection in self._connections.values():
            for name in connection.streams:
                symbol, _, rest = name.partition("@")
                if rest.startswith("kline_") and symbol in self._by_stream:
                    wanted[symbol, rest] = None
        for symbol, rest in wanted:
            state, interval = self._by_stream[symbol], rest.removeprefix("kline_")
            for candle, closed in state.candles(interval, now_ms):
                kline = state.kline(interval, candle, closed=closed)
                self._send(state, (rest,), {"e": "kline", "E": now_ms, "s": state.name, "k": kline})

    def _send_mark(self, state: SymbolState, now_ms: int) -> None:
        if not state.market.mark:
            return
        mark = state.price(state.market.mark)
        event = {"e": "markPriceUpdate", "E": now_ms, "s": state.name, "p": mark, "i": mark, "P": mark}
        event |= {"r": "0.00010000", "T": (now_ms // 28_800_000 + 1) * 28_800_000, **self._family()}
        self._send(state, ("markPrice", "markPrice@1s"), event)

    def _send_liquidation(self, state: SymbolState, found: LiquidationRead) -> None:
        price, size, at_ms = state.price(found.price), state.size(found.size), found.venue_ns // _MS_NS
        order = {
            "s": state.name,
            "S": "SELL" if found.side == SELL else "BUY",
            "o": "LIMIT",
            "f": "IOC",
            "q": size,
            "p": price,
            "ap": price,
            "X": "FILLED",
            "l": size,
            "z": size,
            "T": at_ms,
        }
        self._send(state, ("forceOrder",), {"e": "forceOrder", "E": at_ms, "o": order, **self._family()})

    def _family(self) -> dict[str, Any]:
        """Return the members that tell USD-M from other futures."""
        return {"st": 1} if self.venue.kind == "perp" else {"M": True}

    def _send(self, state: SymbolState, endings: Iterable[str], event: dict[str, Any]) -> None:
        """Send an event to the connections that read one of its streams on the right root."""
        text = ""
        for ending in endings:
            name = f"{state.name.lower()}@{ending}"
            root = self.venue.roots.get(kind_of(name)[0], self.venue.roots[""])
            for client, connection in self._connections.items():
                if name in connection.streams and connection.root == root:
                    text = text or _encode(event).decode()
                    client.send(f'{{"stream":"{name}","data":{text}}}' if connection.combined else text)


class BinanceUsdmProtocol(BinanceProtocol):
    """USD-M futures. See `VenueProtocol`."""

    venue: ClassVar[Market] = USDM


def _failure(number: Any, code: int, text: str) -> str:
    return _encode({"error": {"code": code, "msg": text}, "id": number}).decode()

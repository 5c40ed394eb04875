"""A fake of Hyperliquid's websocket in memory, and streams that fail on demand.

`Venue` keeps its own record: the trades of each instrument. It confirms subscriptions in its normalised way,
replays the newest 30 trades untagged, answers pings, and fails in the ways that a test asks for. Time is
trio's, so with `autojump_clock` nothing really sleeps.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from adapters.hyperliquid.feed import HyperliquidFeed
from adapters.transport.health import FeedLimits
from adapters.transport.trades import LastTrade
from engine.clock import ClockReadings
from engine.config import DataConfig
from engine.events import Event, FeedDown, FeedGap, FeedUp, InstrumentListed, Trade

START_MS = 1_795_000_000_000
START_NS = START_MS * 1_000_000
REPLAY = 30

BTC = InstrumentListed(START_NS, 1, "hyperliquid", "BTC", price_scale=1, size_scale=5, price_figures=5)
ETH = InstrumentListed(START_NS, 2, "hyperliquid", "ETH", price_scale=2, size_scale=4, price_figures=5)

Row = dict[str, Any]


class TrioClock:
    """Wall time that runs with trio's clock, from START_NS."""

    def now_ns(self) -> int:
        return START_NS + round(trio.current_time() * 1e9)

    def monotonic_ns(self) -> int:
        return round(trio.current_time() * 1e9)

    def real_seconds_until(self, engine_ns: int) -> float:
        return (engine_ns - self.now_ns()) / 1e9

    def readings(self) -> ClockReadings:
        now_ns, monotonic_ns = self.now_ns(), self.monotonic_ns()
        return ClockReadings(now_ns, now_ns, monotonic_ns, monotonic_ns)


def row(
    number: int, *, coin: str = "BTC", ms: int | None = None, px: str = "64000.5", sz: str = "0.01"
) -> Row:
    """Return the wire form of trade `number`; 100 ms lie between trades unless `ms` is given."""
    return {
        "coin": coin,
        "side": "B" if number % 2 else "A",
        "px": px,
        "sz": sz,
        "time": START_MS + (number * 100 if ms is None else ms),
        "hash": f"0x{number:064x}",
        "tid": 10**12 + number,
        "users": ["0x" + "1" * 40, "0x" + "2" * 40],
    }


def trades_text(rows: list[Row]) -> str:
    return json.dumps({"channel": "trades", "data": rows})


def bbo_text(coin: str, ms: int, bid: tuple[str, str] | None, ask: tuple[str, str] | None) -> str:
    sides = [None if side is None else {"px": side[0], "sz": side[1], "n": 3} for side in (bid, ask)]
    return json.dumps({"channel": "bbo", "data": {"coin": coin, "time": START_MS + ms, "bbo": sides}})


class Venue:
    """The fake. `sockets` holds the connections that are open now, `served` counts them all."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self.trades: dict[str, list[Row]] = {}
        self.sockets: list[WebSocketConnection] = []
        self.served = 0
        self.dials = 0
        self.pings = 0
        self.requests: list[dict[str, Any]] = []
        self.subscribed: dict[WebSocketConnection, set[tuple[str, str]]] = {}
        # How it fails:
        self.answers_pings = True
        self.unconfirmed: tuple[str, ...] = ()  # kinds
        self.replays = True
        self.before_ack: list[str] = []
        self.after_ack: list[str] = []
        self.wrap: Callable[[trio.abc.Stream, int], trio.abc.Stream] | None = None
        self.refuse: Callable[[int], BaseException | None] | None = None
        self.reject_status = 0
        self.muted: set[tuple[str, str]] = set()  # (kind, instrument) that is sent nothing
        self.renewal_heals = False  # subscribing again ends that
        self.ignored: set[tuple[str, str]] = set()  # (kind, instrument) that is never confirmed
        self.refused: dict[tuple[str, str], str] = {}  # and that is refused, with this text
        self.closes: dict[tuple[str, str], float | None] = {}  # closed for: at once (None), or so long after
        self.cuts = 0  # connections that were closed for that
        self.spoil: Callable[[str], str] = lambda text: text  # what becomes of a message on its way

    async def dial(self) -> trio.abc.Stream:
        """Open a connection: the client's end of a memory stream."""
        self.dials += 1
        if self.refuse and (error := self.refuse(self.dials)):
            raise error
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, ours)
        return self.wrap(theirs, self.dials) if self.wrap else theirs

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            # A client may leave before the handshake is over; the test does not wait for this end.
            with contextlib.suppress(ConnectionClosed):
                request = await wrap_server_stream(nursery, stream)
                if self.reject_status:
                    await request.reject(self.reject_status)
                else:
                    await self._talk(await request.accept())
            nursery.cancel_scope.cancel()

    async def _talk(self, socket: WebSocketConnection) -> None:
        self.served += 1
        self.sockets.append(socket)
        self.subscribed[socket] = set()
        try:
            for text in self.before_ack:
                await socket.send_message(text)
            while True:
                await self._answer(socket, json.loads(await socket.get_message()))
        finally:
            self.sockets.remove(socket)
            del self.subscribed[socket]

    async def _answer(self, socket: WebSocketConnection, request: dict[str, Any]) -> None:
        self.requests.append(request)
        if request["method"] == "ping":
            self.pings += 1
            if self.answers_pings:
                await socket.send_message('{"channel":"pong"}')
            return
        wanted = request["subscription"]
        kind, coin = wanted["type"], wanted.get("coin", "")
        if request["method"] == "unsubscribe":
            self.subscribed[socket].discard((kind, coin))
            ended = {"channel": "subscriptionResponse", "data": request}
            await socket.send_message(json.dumps(ended))
            return
        if (kind, coin) in self.closes and self.closes[kind, coin] is None:
            self.cuts += 1
            await trio.aclose_forcefully(socket._stream)
            return
        if (kind, coin) in self.refused:
            words = self.refused[kind, coin] + json.dumps(wanted)
            await socket.send_message(json.dumps({"channel": "error", "data": words}))
            return
        if kind in self.unconfirmed or (kind, coin) in self.ignored:
            return
        if self.renewal_heals:
            self.muted.discard((kind, coin))
        echo = {"method": "subscribe", "subscription": {"fast": False, "nSigFigs": None, **wanted}}
        if (kind, coin) in self.subscribed[socket]:
            words = f"Already subscribed: {json.dumps(wanted)}"
            await socket.send_message(self.spoil(json.dumps({"channel": "error", "data": words})))
            return
        await socket.send_message(self.spoil(json.dumps({"channel": "subscriptionResponse", "data": echo})))
        self.subscribed[socket].add((kind, coin))
        if kind == "trades" and self.replays and self.trades.get(coin):
            await socket.send_message(self.spoil(trades_text(self.trades[coin][-REPLAY:])))
        for text in self.after_ack:
            await socket.send_message(text)
        if (kind, coin) in self.closes:
            self._nursery.start_soon(self._close_later, socket, self.closes[kind, coin])

    async def _close_later(self, socket: WebSocketConnection, after_s: float) -> None:
        await trio.sleep(after_s)
        if socket in self.sockets:
            self.cuts += 1
            await trio.aclose_forcefully(socket._stream)

    async def trade(self, *rows: Row) -> None:
        """Trade, and send it to every subscriber, in one frame."""
        coin = rows[0]["coin"]
        self.trades.setdefault(coin, []).extend(rows)
        await self.say(trades_text(list(rows)), kind="trades", coin=coin)

    async def say(self, text: str | bytes, kind: str | None = None, coin: str = "") -> None:
        """Send one message to every socket, or to those subscribed."""
        for socket in list(self.sockets):
            emitted = (kind, coin) in self.subscribed[socket] and (kind, coin) not in self.muted
            if kind is None or emitted:
                with contextlib.suppress(ConnectionClosed):
                    await socket.send_message(self.spoil(text) if isinstance(text, str) else text)

    async def drop(self) -> None:
        """End every connection the way the venue does: no close frame, code 1006."""
        for socket in list(self.sockets):
            await trio.aclose_forcefully(socket._stream)

    async def close(self, code: int, reason: str = "") -> None:
        """End every connection with a close frame."""
        for socket in list(self.sockets):
            # It has been sent; the answer does not matter.
            with contextlib.suppress(ConnectionClosed), trio.move_on_after(0.01):
                await socket.aclose(code, reason)


class Engine:
    """Replaces the engine: keeps the events it receives, and waits while the gate is closed."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._by_type: dict[type[Event], list[Event]] = {}
        self.batches: list[int] = []
        self.times_up = 0
        self.gate = trio.Event()
        self.gate.set()

    async def take(self, batch: list[Event]) -> None:
        assert batch
        await self.gate.wait()
        self.events += batch
        for event in batch:
            self._by_type.setdefault(type(event), []).append(event)
        self.batches.append(len(batch))
        self.times_up += sum(isinstance(event, FeedUp) for event in batch)

    def forget(self) -> None:
        """Leave out the events so far."""
        self.events.clear()
        self._by_type.clear()

    def of(self, kind: type[Event]) -> list[Any]:
        return self._by_type.get(kind, [])[:]

    @property
    def trade_ids(self) -> list[int]:
        return [trade.trade_id - 10**12 for trade in self.of(Trade)]

    @property
    def ups(self) -> list[FeedUp]:
        return self.of(FeedUp)

    @property
    def downs(self) -> list[FeedDown]:
        return self.of(FeedDown)

    @property
    def gaps(self) -> list[FeedGap]:
        return self.of(FeedGap)


class Scene:
    """A venue, a feed and an engine."""

    def __init__(self, venue: Venue, feed: HyperliquidFeed, engine: Engine) -> None:
        self.venue = venue
        self.feed = feed
        self.engine = engine

    async def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Wait until a condition is true; fail if it does not become true."""
        with trio.fail_after(seconds):
            while not condition():  # noqa: ASYNC110 - any condition a test thinks of
                await trio.sleep(0.01)

    async def live(self, times: int = 1) -> None:
        """Wait until the feed has come up so many times and the venue has no more messages."""
        await self.until(lambda: self.engine.times_up >= times and self.feed.health.live)
        await self.settle()

    async def settle(self) -> None:
        """Wait until everything in flight has arrived."""
        await trio.sleep(0.05)


@contextlib.asynccontextmanager
async def scene(
    *,
    instruments: tuple[InstrumentListed, ...] = (BTC,),
    since_ns: int = START_NS - 3_600 * 10**9,
    last_seen: dict[int, LastTrade] | None = None,
    recent: Any = None,
    limits: FeedLimits | None = None,
    jitter: Callable[[], float] = lambda: 0.0,
    prepare: Callable[[Venue], None] | None = None,
    info: Any = None,
    data: DataConfig | None = None,
    intervals: tuple[str, ...] = (),
) -> AsyncIterator[Scene]:
    """Run a feed against a fake venue; afterwards both are stopped, and the times are checked."""
    engine = Engine()
    async with trio.open_nursery() as nursery:
        venue = Venue(nursery)
        if prepare:
            prepare(venue)
        feed = HyperliquidFeed(
            name="hyperliquid",
            base_url="http://localhost:3001",
            instruments=instruments,
            clock=TrioClock(),
            jitter=jitter,
            send=engine.take,
            since_ns=since_ns,
            last_seen=last_seen,
            recent=recent,
            limits=limits,
            dial=venue.dial,
            info=info(venue) if info else None,
            data=data,
            intervals=intervals,
        )
        async with trio.open_nursery() as inner:
            inner.start_soon(feed.run)
            yield Scene(venue, feed, engine)
            started = trio.current_time()
            inner.cancel_scope.cancel()
        assert trio.current_time() - started <= 1.0, "a stop waited for the venue"
        nursery.cancel_scope.cancel()
    times = [event.recv_ns for event in engine.events]  # type: ignore[attr-defined]
    assert times == sorted(times), "recv_ns went back"

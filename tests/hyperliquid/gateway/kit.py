"""A venue for one account, in memory: it keeps its own record, and fails in the ways a test asks for.

`Venue` answers `/info` and `/exchange` over a transport and the account's websocket over memory streams. It
checks every signature, counts client ids and nonces, and knows nothing of the engine. Time is trio's, so
with `autojump_clock` nothing really sleeps.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import httpx
import msgspec
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_server_stream

from adapters.hyperliquid.gateway.gateway import HyperliquidGateway
from adapters.hyperliquid.gateway.keys import Signer
from adapters.hyperliquid.gateway.posts import CHANNELS
from adapters.hyperliquid.gateway.sender import RestSender
from adapters.hyperliquid.info import HyperliquidInfo
from adapters.hyperliquid.limits import LIMITS
from adapters.hyperliquid.signing import address_of, recover_l1_signer
from adapters.transport.governor import Governor
from engine.config import VenueConfig
from engine.events import Event, InstrumentListed, OrderTerms, SubmitOrder
from engine.values import BUY
from engine.venue import Account
from tests.hyperliquid.venue import START_MS, START_NS, TrioClock

BASE_URL = "http://127.0.0.1:1"
KEY = "0x" + "07" * 32
USER = address_of(KEY)
SESSION = "0" * 15 + "7"
BTC = InstrumentListed(START_NS, 1, "hyperliquid", "BTC", price_scale=1, size_scale=5, price_figures=5)
ETH = InstrumentListed(START_NS, 2, "hyperliquid", "ETH", price_scale=2, size_scale=4, price_figures=5)
ASSETS = {"BTC": 3, "ETH": 4}
LEDGER = "userNonFundingLedgerUpdates"

Clock = trio.testing.MockClock
Row = dict[str, Any]
Answer = httpx.Response | Exception | None
"""The result of a request: an answer, a network error, or None for no answer at all."""


def name(number: int, session: str = SESSION) -> str:
    """Return the client order id of an own order."""
    return f"0x{session}{number:016x}"


def order(
    number: int,
    *,
    size: int = 100,
    price: int = 640000,
    tif: str = "Gtc",
    expires_ns: int = START_NS + 10_000_000_000,
    side: int = BUY,
    **terms: Any,
) -> SubmitOrder:
    """Return the command that places order `number`: 0.001 BTC at 64000.0 unless given otherwise."""
    found = OrderTerms(side, size, price, tif, **terms)
    return SubmitOrder(START_NS, name(number), "s", 1, found, expires_ns)


class Own:
    """The state from the journal; a test sets `working`."""

    def __init__(self, since_ns: int = START_NS, nonce_floor_ms: int = 0) -> None:
        self.since_ns = since_ns
        self.nonce_floor_ms = nonce_floor_ms
        self.open: list[str] = []

    def working(self) -> list[str]:
        return list(self.open)

    def knows(self, client_order_id: str) -> bool:
        return client_order_id.startswith(f"0x{SESSION}")


class Venue(httpx.AsyncBaseTransport):
    """The fake. A test may replace `exchange` and `info`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._oid = 1000
        # Its record.
        self.orders: dict[int, Row] = {}  # by oid: {"order": ..., "status": ..., "statusTimestamp": ...}
        self.fills: list[Row] = []
        self.fundings: list[Row] = []
        self.ledger: list[Row] = []
        self.positions: dict[str, str] = {}
        self.attached: dict[int, list[Row]] = {}  # children by the oid of their parent
        # The requests that it received.
        self.actions: list[Row] = []
        self.bodies: list[Row] = []
        self.nonces: list[int] = []
        self.questions: list[Row] = []
        self.sockets: list[WebSocketConnection] = []
        self.served = 0
        self.posts: list[Row] = []
        # How it fails.
        self.exchange: Callable[[Row], Awaitable[Answer]] = self.obey
        self.info: Callable[[Row], Awaitable[Answer]] = self.answer_info
        self.post: Callable[[WebSocketConnection, Row], Awaitable[None]] = self.answer_post
        self.confirms: tuple[str, ...] = CHANNELS
        self.first_frames: list[str] = []  # said between the acknowledgements
        self.ahead_ms = 0  # of our clock
        self.wrap: Callable[[trio.abc.Stream], trio.abc.Stream] = lambda stream: stream

    @property
    def now_ms(self) -> int:
        return START_MS + round(trio.current_time() * 1000)

    # Over HTTP.

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        body = json.loads(await request.aread())
        if request.url.path == "/info":
            self.questions.append(body)
            answer = await self.info(body)
        else:
            self.check(body)
            answer = await self.exchange(body)
        if answer is None:
            await trio.sleep_forever()
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return answer

    def check(self, body: Row) -> None:
        """Record a signed action. A wrong signature is an error of the test."""
        signer = recover_l1_signer(
            body["action"],
            body["signature"],
            body["nonce"],
            body["vaultAddress"],
            body["expiresAfter"],
            False,
        )
        assert signer == USER, "the signature belongs to another action"
        self.bodies.append(body)
        self.actions.append(body["action"])
        self.nonces.append(body["nonce"])

    async def obey(self, body: Row) -> Answer:
        """Execute an action and answer it."""
        return said(self.do(body["action"]))

    def do(self, action: Row) -> Row:
        """Execute an action: every order rests, every cancel succeeds. Return the answer."""
        kind = action["type"]
        if kind == "order":
            return statuses([{"resting": {"oid": self.rest(one)}} for one in action["orders"]])
        if kind == "cancelByCloid":
            for one in action["cancels"]:
                row = self.find(one["cloid"])
                assert row is not None, "a cancel of an order that was never placed"
                row["status"] = "canceled"
            return statuses(["success"] * len(action["cancels"]))
        if kind == "batchModify":
            (change,) = action["modifies"]
            row = self.find(change["oid"])
            assert row is not None
            row["status"] = "canceled"
            return statuses([{"resting": {"oid": self.rest(change["order"])}}])
        return {"status": "ok", "response": {"type": "default"}}

    def rest(self, wire: Row, oid: int = 0) -> int:
        """Put an order on the book; return its number."""
        self._oid += 1
        oid = oid or self._oid
        coin = {number: coin for coin, number in ASSETS.items()}[wire["a"]]
        row = update(oid, wire.get("c"), "open", sz=wire["s"], coin=coin, px=wire["p"], ms=self.now_ms)
        self.orders[oid] = row
        return oid

    def find(self, oid: int | str) -> Row | None:
        """Return an order by number or by client id; of several the newest."""
        if isinstance(oid, int):
            return self.orders.get(oid)
        return next((one for one in reversed(self.orders.values()) if one["order"].get("cloid") == oid), None)

    async def answer_info(self, body: Row) -> Answer:
        """Answer a query from the record."""
        match body["type"]:
            case "exchangeStatus":
                return said({"time": self.now_ms + self.ahead_ms, "specialStatuses": None})
            case "clearinghouseState":
                return said(self.state(body.get("dex", "")))
            case "frontendOpenOrders":
                dex = body.get("dex", "")
                rows = [
                    {**row["order"], "children": self.attached.get(oid, [])}
                    for oid, row in self.orders.items()
                    if row["status"] == "open" and row["order"]["coin"].rpartition(":")[0] == dex
                ]
                return said(rows[::-1])
            case "orderStatus":
                row = self.find(body["oid"])
                return said({"status": "unknownOid"} if row is None else {"status": "order", "order": row})
            case "userFillsByTime":
                rows = [row for row in self.fills if row["time"] >= body["startTime"]]
                return said(sorted(rows, key=lambda row: row["time"])[:2000])
            case "userFunding":
                return said([row for row in self.fundings if row["time"] >= body["startTime"]])
            case "userNonFundingLedgerUpdates":
                return said([row for row in self.ledger if row["time"] >= body["startTime"]])
            case other:
                raise AssertionError(f"{other} is not asked")

    def state(self, dex: str = "") -> Row:
        """Return `clearinghouseState` of a dex."""
        held = [
            {"type": "oneWay", "position": {"coin": coin, "szi": szi, "entryPx": "64000.0"}}
            for coin, szi in self.positions.items()
            if coin.rpartition(":")[0] == dex
        ]
        return {
            "assetPositions": held,
            "marginSummary": {"accountValue": "1000.5"},
            "withdrawable": "900.25",
            "time": self.now_ms,
        }

    def asked(self, kind: str) -> list[Row]:
        """Return the queries of a type."""
        return [one for one in self.questions if one["type"] == kind]

    @property
    def placed(self) -> list[str]:
        """The client id of every order in an order action, in order, repeated ones repeated."""
        return [one["c"] for action in self.actions if action["type"] == "order" for one in action["orders"]]

    # Over the websocket.

    async def dial(self) -> trio.abc.Stream:
        """Open a connection: the client's end of a memory stream."""
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._serve, ours)
        return self.wrap(theirs)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            with contextlib.suppress(ConnectionClosed):
                request = await wrap_server_stream(nursery, stream)
                socket = await request.accept()
                self.served += 1
                self.sockets.append(socket)
                try:
                    while True:
                        await self._answer(socket, json.loads(await socket.get_message()), nursery)
                finally:
                    self.sockets.remove(socket)
            nursery.cancel_scope.cancel()

    async def _answer(self, socket: WebSocketConnection, request: Row, nursery: trio.Nursery) -> None:
        if request["method"] == "ping":
            await socket.send_message('{"channel":"pong"}')
        elif request["method"] == "post":
            self.posts.append(request)
            self.check(request["request"]["payload"])
            nursery.start_soon(self.post, socket, request)
        else:
            wanted = request["subscription"]
            if wanted["type"] not in self.confirms:
                return
            echo = {"method": "subscribe", "subscription": {"aggregateByTime": False, **wanted}}
            await socket.send_message(json.dumps({"channel": "subscriptionResponse", "data": echo}))
            if wanted["type"] == "userFills":
                snapshot = {"user": USER, "fills": self.fills[::-1], "isSnapshot": True}
                await socket.send_message(json.dumps({"channel": "userFills", "data": snapshot}))
                for text in self.first_frames:
                    await socket.send_message(text)
            if wanted["type"] == LEDGER:
                rows = {"user": USER, "nonFundingLedgerUpdates": self.ledger[::-1], "isSnapshot": True}
                await socket.send_message(json.dumps({"channel": LEDGER, "data": rows}))

    async def answer_post(self, socket: WebSocketConnection, request: Row) -> None:
        """Execute a posted action and answer it."""
        answer = self.do(request["request"]["payload"]["action"])
        await reply(socket, request["id"], "action", answer)

    async def say(self, channel: str, data: Any) -> None:
        """Send one frame to the account."""
        await self.say_text(json.dumps({"channel": channel, "data": data}))

    async def say_text(self, text: str) -> None:
        """Send any text to the account."""
        for socket in list(self.sockets):
            with contextlib.suppress(ConnectionClosed):
                await socket.send_message(text)

    async def say_fills(self, *rows: Row) -> None:
        """Execute an order and send the fill."""
        self.fills += rows
        await self.say("userFills", {"user": USER, "fills": list(rows)})

    async def say_ledger(self, *rows: Row) -> None:
        """Move money and send the rows of the ledger."""
        self.ledger += rows
        await self.say(LEDGER, {"user": USER, "nonFundingLedgerUpdates": list(rows)})

    async def drop(self) -> None:
        """End every connection the way the venue does: no close frame, code 1006."""
        for socket in list(self.sockets):
            await trio.aclose_forcefully(socket._stream)


async def reply(socket: WebSocketConnection, number: int, kind: str, payload: Any) -> None:
    """Answer a post."""
    data = {"id": number, "response": {"type": kind, "payload": payload}}
    with contextlib.suppress(ConnectionClosed):
        await socket.send_message(json.dumps({"channel": "post", "data": data}))


def said(body: Any, status: int = 200) -> httpx.Response:
    """An answer as it comes from a network: its body is still to be read."""
    return httpx.Response(status, stream=httpx.ByteStream(json.dumps(body).encode()))


def statuses(found: list[Any]) -> Row:
    """An answer to a batch."""
    return {"status": "ok", "response": {"type": "order", "data": {"statuses": found}}}


def fill_row(
    tid: int,
    oid: int,
    cloid: str | None,
    *,
    sz: str = "0.001",
    coin: str = "BTC",
    ms: int = START_MS + 1,
    **more: Any,
) -> Row:
    """Return the wire form of an execution."""
    row = {"coin": coin, "px": "64000.0", "sz": sz, "side": "B", "time": ms, "oid": oid, "tid": tid}
    row |= {"crossed": True, "fee": "0.0288", "feeToken": "USDC", "dir": "Open Long", "hash": "0x0"}
    return {**row, **({} if cloid is None else {"cloid": cloid}), **more}


def update(
    oid: int,
    cloid: str | None,
    status: str,
    *,
    sz: str = "0.001",
    orig: str = "",
    coin: str = "BTC",
    px: str = "64000.0",
    ms: int = START_MS + 1,
) -> Row:
    """Return the wire form of an order's change; `sz` is what is left."""
    shown = {"coin": coin, "side": "B", "limitPx": px, "sz": sz, "oid": oid, "timestamp": ms}
    shown |= {"origSz": orig or sz, **({} if cloid is None else {"cloid": cloid})}
    return {"order": shown, "status": status, "statusTimestamp": ms}


class Engine:
    """Replaces the engine: keeps the events it receives."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.gate = trio.Event()
        self.gate.set()

    async def take(self, batch: list[Event]) -> None:
        assert batch
        await self.gate.wait()
        self.events += batch

    def of(self, *kinds: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    def about(self, client_order_id: str) -> list[Any]:
        return [one for one in self.events if getattr(one, "client_order_id", None) == client_order_id]

    def reports(self, client_order_id: str) -> list[str]:
        """The types of the reports of an order, in order."""
        return [type(one).__name__ for one in self.about(client_order_id)]


class Scene:
    """A venue, a gateway and an engine."""

    def __init__(self, venue: Venue, gateway: HyperliquidGateway, engine: Engine, own: Own) -> None:
        self.venue = venue
        self.gateway = gateway
        self.engine = engine
        self.own = own
        self._seq = 0

    def release(self, *commands: Event) -> None:
        """Release commands as the committer does."""
        derived = [(self._seq + at, self._seq, command) for at, command in enumerate(commands)]
        self._seq += len(commands)
        self.gateway.release(self._seq, derived)

    async def until(self, condition: Callable[[], object], seconds: float = 120.0) -> None:
        """Wait until a condition is true; fail if it does not become true."""
        with trio.fail_after(seconds):
            while not condition():  # noqa: ASYNC110 - any condition a test thinks of
                await trio.sleep(0.01)

    async def live(self, times: int = 1) -> None:
        """Wait until the account was read so many times and nothing is in flight."""
        await self.until(lambda: self.gateway.health.reconciliations >= times)
        await self.settle()

    async def settle(self) -> None:
        """Wait until everything in flight has arrived."""
        await trio.sleep(0.1)


@contextlib.asynccontextmanager
async def scene(
    *,
    instruments: Iterable[InstrumentListed] = (BTC, ETH),
    prepare: Callable[[Venue], None] | None = None,
    own: Own | None = None,
    live: bool = True,
    **options: Any,
) -> AsyncIterator[Scene]:
    """Run a gateway against a fake venue; afterwards both are stopped, and the times are checked."""
    engine, own = Engine(), own or Own()
    venue_config = VenueConfig(network="sandbox", account=USER)
    for key in ("transport", "vault"):
        if key in options:
            venue_config = msgspec.structs.replace(venue_config, **{key: options.pop(key)})
    async with trio.open_nursery() as nursery:
        venue = Venue(nursery)
        if prepare:
            prepare(venue)
        governor = Governor(LIMITS)
        posts = venue_config.transport == "post"
        gateway = HyperliquidGateway(
            name="gateway",
            base_url=BASE_URL,
            venue=venue_config,
            signer=Signer(KEY),
            instruments=tuple(instruments),
            asset_ids=ASSETS,
            clock=TrioClock(),
            jitter=lambda: 0.0,
            send=engine.take,
            governor=governor,
            account=Account(own.since_ns, own.nonce_floor_ms, own.working, own.knows),
            sender=None if posts else RestSender(BASE_URL, governor, transport=venue),
            info=HyperliquidInfo(BASE_URL, governor=governor, transport=venue),
            dial=venue.dial,
            **options,
        )
        scene = Scene(venue, gateway, engine, own)
        async with trio.open_nursery() as inner:
            inner.start_soon(gateway.run)
            if live:
                await scene.live()
            yield scene
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
    times = [event.recv_ns for event in engine.events]  # type: ignore[attr-defined]
    assert times == sorted(times), "recv_ns went back"
    assert venue.nonces == sorted(set(venue.nonces)), "a nonce did not rise"
    assert len(venue.placed) == len(set(venue.placed)), "an order was sent twice"

"""A server with the shapes of the API and data made up by a test: for what a real engine does not do.

Names of venues that hold markup, an engine that is armed, one that answers 502, another engine behind the
same port. It serves the files of the page with their policy, notes each command, and sends what a test puts
into its stream.
"""

from __future__ import annotations

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from engine.api.page import CONTENT_SECURITY_POLICY, Asset, assets
from engine.views import answers, market_shapes, shapes

__all__ = ["JOURNAL", "StandIn"]

JOURNAL = "0123456789abcdef0123456789abcdef"
START_MS = 1_790_000_000_000
MINUTE_MS = 60_000
BEAT_S = 0.3


def blank(kind: type[Any], /, **given: Any) -> Any:
    """Return a struct with zeros, empty texts and lists where nothing is given."""
    plain: dict[str, Any] = {"int": 0, "str": "0", "bool": False, "float": 0.0}
    members = {}
    for field in msgspec.structs.fields(kind):
        if field.name in given or not field.required:
            continue
        name = getattr(field.type, "__name__", "")
        if "list" in str(field.type):
            members[field.name] = []
        elif "dict" in str(field.type):
            members[field.name] = {}
        elif "None" in str(field.type):
            members[field.name] = None
        else:
            members[field.name] = plain[name]
    return kind(**members, **given)


class StandIn:
    """What the server answers, as plain attributes that a test sets. `with` starts and stops it."""

    def __init__(self, instrument: str = "sandbox:BTC", *, armed: bool = False) -> None:
        self.journal = JOURNAL
        self.seq = 100
        self.instrument = instrument
        self.armed = armed
        self.read_only = False
        self.intervals = ["1m", "1h"]
        self.recorded = False
        self.status_code = 0
        """If not 0, every request is answered with it, as by a proxy whose engine is away."""
        self.silent = False
        """Streams stay open and nothing is sent, as by an engine that is stopped."""
        self.lose_answers = False
        """Commands are noted, but their connection breaks before the answer."""
        self.commands: list[dict[str, Any]] = []
        self.halts: list[shapes.HaltRow] = []
        self.bid = 97_000
        self._streams: list[queue.Queue[bytes | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    def __enter__(self) -> StandIn:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def send(self, kind: str, data: Any, seq: int | None = None) -> None:
        """Send a message to every open stream, by default about the next record."""
        self.seq += 1
        frame = f"id: {seq or self.seq}\nevent: {kind}\ndata: {msgspec.json.encode(data).decode()}\n\n"
        for stream in list(self._streams):
            stream.put(frame.encode())

    def cut(self) -> None:
        """End all streams."""
        for stream in list(self._streams):
            stream.put(None)

    def read_stream(self) -> Any:
        """Yield what one stream is to send."""
        mine: queue.Queue[bytes | None] = queue.Queue()
        hello = shapes.Hello(self.journal, self.seq, START_MS, "live", self.armed, True, self.recorded)
        yield f"id: {self.seq}\nevent: hello\ndata: {msgspec.json.encode(hello).decode()}\n\n".encode()
        self._streams.append(mine)
        try:
            while True:
                try:
                    frame = mine.get(timeout=BEAT_S)
                except queue.Empty:
                    frame = b": \n\n"
                if frame is None:
                    return
                if not self.silent:
                    yield frame
        finally:
            self._streams.remove(mine)

    # Rows.

    def price(self) -> market_shapes.PriceRow:
        """Return the newest prices."""
        bid, ask = str(self.bid), str(self.bid + 1)
        return market_shapes.PriceRow(
            self.instrument,
            self.seq,
            last=bid,
            bid=bid,
            bid_size="1",
            ask=ask,
            ask_size="2",
            price_ms=START_MS,
        )

    def position(self, owner: str = "Cross", size: str = "0.5") -> shapes.PositionRow:
        """Return a position of an owner."""
        return blank(
            shapes.PositionRow,
            instrument=self.instrument,
            owner=owner,
            size=size,
            entry="96000",
            mark="97000",
            unrealized="500",
            unprotected=size,
            seq=self.seq,
            target_state="",
            target_reason="",
        )

    def strategy(self) -> shapes.StrategyRow:
        """Return a strategy with one parameter."""
        return blank(
            shapes.StrategyRow,
            name="Cross",
            use="mine:Cross",
            state="running",
            why="",
            instruments=[self.instrument],
            params={"fast": 10, "note": "<b>bold</b>"},
            profit="12.5",
        )

    def command(self, detail: str, state: str, left: list[tuple[str, str, str]]) -> shapes.CommandRow:
        """Return a command."""
        return blank(shapes.CommandRow, seq=60, at_ms=START_MS, detail=detail, state=state, left=left)

    def fill(self, seq: int) -> shapes.FillRow:
        """Return a fill."""
        return blank(
            shapes.FillRow,
            seq=seq,
            at_ms=START_MS + seq * 1000,
            instrument=self.instrument,
            owner="Cross",
            side="buy",
            price="97000",
            size="0.5",
            value="48500",
            why="",
            purpose="target",
        )

    def answer(self, name: str, query: dict[str, str]) -> Any:
        """Return the answer of a GET path."""
        standing: dict[str, Any] = {"journal": self.journal, "seq": self.seq, "at_ms": START_MS}
        rows: dict[str, Any] = {"instrument": self.instrument, "interval": query.get("interval", "1m")}
        if name == "instruments":
            rows = {"instruments": [self._instrument()]}
        elif name == "status":
            rows = {
                "mode": "live" if self.armed else "paper",
                "armed": self.armed,
                "running": True,
                "halts": self.halts,
                "account": self.account(),
                "network": "",
                "account_id": "",
                "feeds": 1,
                "feeds_up": 1,
            }
        elif name == "positions":
            rows = {"positions": [self.position()]}
        elif name == "orders":
            rows = {"working": [self.order()]}
        elif name == "fills":
            rows = {"fills": [self.fill(seq) for seq in range(1, 41)], "more": False}
        elif name == "bars":
            rows["bars"] = [self._bar(at) for at in range(120)]
        elif name == "equity":
            points = [
                shapes.EquityPoint(START_MS + at * MINUTE_MS, str(10_000 + at), "0", at) for at in range(60)
            ]
            rows = {"account": self.account(), "points": points}
        elif name == "strategies":
            rows = {"strategies": [self.strategy()]}
        elif name == "why":
            rows = {"chain": [self._record(seq) for seq in (1, int(query["seq"]))]}
        elif name == "events":
            rows = {"events": [], "next_after": None}
        kind = answers.ANSWERS[name]
        fields = {field.name for field in msgspec.structs.fields(kind)}
        given = {**standing, **{key: value for key, value in rows.items() if key in fields}}
        return blank(kind, **given)

    def account(self, seq: int = 1) -> shapes.AccountRow:
        """Return the account, valued at a record."""
        return blank(
            shapes.AccountRow,
            seq=seq,
            at_ms=START_MS + seq * 100,
            currency="USDC",
            equity="10000",
            day_profit="59",
            drawdown="0",
            drawdown_percent=0.0,
        )

    def _instrument(self) -> market_shapes.InstrumentRow:
        return blank(
            market_shapes.InstrumentRow,
            instrument=self.instrument,
            key=self.instrument,
            base="BTC",
            quote="USDC",
            price_scale=1,
            size_scale=5,
            price_step="0.1",
            size_step="0.00001",
            value_min="10",
            on_margin=True,
            leverage=10,
            leverage_max=50,
            taker_fee="0.00045",
            maker_fee="0.00015",
            traded=True,
            halted="",
            intervals=self.intervals,
            footprints=[],
            profiles=[],
            price=self.price(),
        )

    def order(self, name: str = "s-7", state: str = "New") -> shapes.OrderRow:
        """Return an order."""
        return blank(
            shapes.OrderRow,
            id=name,
            instrument=self.instrument,
            owner="Cross",
            side="sell",
            kind="market stop",
            held="venue",
            state=state,
            role="close",
            purpose="stop",
            size="0.5",
            left="0.5",
            trigger="sl",
            trigger_price="95000",
            reason="",
            reduce_only=True,
            seq=50,
            updated_seq=51,
            handle="",
            parent="",
            group="",
            distance="2000",
            distance_percent=2.06,
        )

    def _bar(self, at: int) -> market_shapes.BarRow:
        base = 97_000 + at % 7 * 10
        return blank(
            market_shapes.BarRow,
            start_ms=START_MS + at * MINUTE_MS,
            open=str(base),
            high=str(base + 30),
            low=str(base - 30),
            close=str(base + 10),
            volume="3",
            trades=5,
            because="",
            source="trades",
            seq=at + 1,
        )

    def bar_message(self, at: int, *, forming: bool) -> market_shapes.BarMessage:
        """Return a message about a bar."""
        return market_shapes.BarMessage(self.instrument, "1m", forming, self._bar(at))

    def _record(self, seq: int) -> shapes.RecordRow:
        fields = {"name": self.instrument}
        return shapes.RecordRow(
            seq, 0, "2026-09-21T00:00:00.000000000Z", START_MS, "Trade", self.instrument, fields
        )


def _handler(server: StandIn) -> type[BaseHTTPRequestHandler]:
    files: dict[str, Asset] = assets()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            if url.path in files:
                self._answer(200, files[url.path].body, files[url.path].media_type)
            elif server.status_code:
                self._answer(server.status_code, b"<html>Bad gateway</html>", "text/html")
            elif query.get("journal", server.journal) != server.journal:
                body = {"code": "other_journal", "message": "another engine", "journal": server.journal}
                self._answer(409, msgspec.json.encode(body))
            elif url.path == "/api/session":
                body = {"journal": server.journal, "seq": server.seq, "at_ms": START_MS, "who": "page:test"}
                self._answer(
                    200, msgspec.json.encode({**body, "read_only": server.read_only, "commands": True})
                )
            elif url.path == "/api/stream":
                self._stream()
            else:
                name, _, seq = url.path.removeprefix("/api/").partition("/")
                self._answer(200, msgspec.json.encode(server.answer(name, {**query, "seq": seq or "0"})))

        def do_POST(self) -> None:
            body = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
            if urlsplit(self.path).path == "/api/commands":
                server.commands.append(body)
                if server.lose_answers:
                    self.close_connection = True
                    self.connection.close()
                    return
            answer = {
                "journal": server.journal,
                "seq": server.seq,
                "nonce": body.get("nonce"),
                "state": "done",
            }
            self._answer(200, msgspec.json.encode({**answer, "reason": "", "left": [], "tries": 0}))

        def _stream(self) -> None:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for frame in server.read_stream():
                    self.wfile.write(frame)
            except OSError:
                return

        def _answer(self, status: int, body: bytes, media_type: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
            """Print nothing."""

    return Handler

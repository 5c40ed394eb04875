"""Stands in for a running engine: an HTTP server on a Unix socket that answers as it is told."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from engine.api.sockets import SOCKET_NAME

__all__ = ["JOURNAL", "FakeEngine", "fake_engine"]

JOURNAL = "ab" * 16

Reply = tuple[int, Any]
"""Status and JSON of an answer; status 0: the connection ends without one."""


class FakeEngine:
    """What was asked (`asked`), the commands (`commands`), and what is answered."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.commands: list[dict[str, Any]] = []
        self.answers: dict[str, Any] = {
            "status": {"journal": JOURNAL, "seq": 9, "armed": False},
            "strategies": {"strategies": [{"name": "Cross"}, {"name": "BTC"}]},
            "instruments": {
                "instruments": [
                    {"instrument": "ETH", "key": "hyperliquid:ETH"},
                    {"instrument": "BTC", "key": "hyperliquid:BTC"},
                ]
            },
            "link": {"journal": JOURNAL, "seq": 9, "link": "http://127.0.0.1:8710/?token=t"},
        }
        self.outcomes: list[Callable[[dict[str, Any]], Reply]] = []
        """What commands are answered, one after the other; without any left they are done."""
        self.starting = ""
        """How far its start is; without that it has begun."""

    def reply(self, method: str, path: str, body: bytes) -> Reply:
        name = path.removeprefix("/api/").partition("?")[0]
        self.asked.append(f"{method} {name}")
        if name != "commands" and self.starting:
            return 503, problem("starting") | {"message": self.starting}
        if name != "commands":
            return (200, self.answers[name]) if name in self.answers else (404, problem("no_page"))
        request = json.loads(body)
        self.commands.append(request)
        return self.outcomes.pop(0)(request) if self.outcomes else outcome()(request)


def outcome(state: str = "done", **more: Any) -> Callable[[dict[str, Any]], Reply]:
    """Answer a command with this state."""
    return lambda request: (200, {
        "journal": JOURNAL, "seq": 12, "nonce": request["nonce"], "command": request["command"],
        "state": state, "code": "", "reason": "", "left": [], "tries": 0, "repeated": False, **more,
    })  # fmt: skip


def refused(status: int, code: str) -> Callable[[dict[str, Any]], Reply]:
    """Answer a command with a problem."""
    return lambda _: (status, problem(code))


def lost(_: dict[str, Any]) -> Reply:
    """End the connection without an answer."""
    return 0, None


def problem(code: str) -> dict[str, Any]:
    return {"code": code, "message": f"words about {code}", "journal": JOURNAL, "seq": 9}


@contextlib.contextmanager
def fake_engine(root: Path) -> Iterator[FakeEngine]:
    """Serve on the socket of a journal's folder."""
    engine = FakeEngine()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])))

        def _answer(self, body: bytes) -> None:
            status, answer = engine.reply(self.command, self.path, body)
            if not status:
                return
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def address_string(self) -> str:
            return ""

        def log_message(self, *_: Any) -> None:
            pass

    root.mkdir(parents=True, exist_ok=True)
    with socketserver.ThreadingUnixStreamServer(str(root / SOCKET_NAME), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield engine
        finally:
            server.shutdown()
            thread.join()
            (root / SOCKET_NAME).unlink()

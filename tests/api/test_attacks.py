"""Clients that break HTTP, send too much, read nothing or take for ever: none of them affects another."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest
import trio

from engine.api import connections, stream
from engine.api.guard import TARGET_BYTES_MAX
from tests.api.kit import PATIENCE_S, Served, Wire, serving


async def fine(served: Served) -> None:
    """Check that the server answers others."""
    assert (await served.ask("/api/status", unix=True)).status == 200
    assert (await served.ask("/api/status")).status in (200, 401)


async def no_streams(served: Served) -> None:
    """Wait until the server has no open stream."""
    with trio.fail_after(PATIENCE_S):
        while served.server._api.streams:  # noqa: ASYNC110 - nothing reports it
            await trio.sleep(0.01)


def request(served: Served, line: str, *headers: str) -> bytes:
    return "\r\n".join([line, f"Host: {served.address}", *headers, "", ""]).encode("latin-1")


# Bodies and headers.


async def test_a_body_that_is_too_large_is_refused_and_the_connection_closed(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.login()
        for target in ("/api/login", "/api/commands"):
            for body in (b"x" * 20_000, b'{"token": "' + b"a" * 10_000_000 + b'"}'):
                wire = await served.connect()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(
                        _send_all,
                        wire,
                        request(
                            served,
                            f"POST {target} HTTP/1.1",
                            f"Cookie: {served.cookie}",
                            f"Content-Length: {len(body)}",
                            "Content-Type: application/json",
                            f"Origin: {served.origin}",
                            "X-Retape: 1",
                        )
                        + body,
                    )
                    reply = await wire.reply()
                    assert reply is None or reply.code == "too_large"
                    assert await wire.ended()
                    nursery.cancel_scope.cancel()
        await fine(served)


async def _send_all(wire: Wire, data: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        await wire.send(data)


async def test_a_body_without_length_is_bounded_as_well(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        wire = await served.connect(unix=True)
        chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
        async with trio.open_nursery() as nursery:
            head = request(served, "POST /api/commands HTTP/1.1", "Transfer-Encoding: chunked")
            nursery.start_soon(_send_all, wire, head + chunk * 5000)
            reply = await wire.reply()
            assert reply is None or reply.code == "too_large"
            assert await wire.ended()
            nursery.cancel_scope.cancel()
        await fine(served)


async def test_a_body_that_follows_late_is_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        wire = await served.connect(unix=True)
        await wire.send(request(served, "POST /api/link HTTP/1.1", "Content-Length: 2"))
        await trio.sleep(0.3)
        await wire.send(b"{}")
        reply = await wire.reply()
        assert reply is not None
        assert reply.status == 200
        await fine(served)


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("GET /api/status HTTP/1.1", [f"X-{number}: {'y' * 1000}" for number in range(100)]),
        ("GET /api/status HTTP/1.1", ["X: " + "y" * 1_000_000]),
        ("GET /" + "a" * 1_000_000 + " HTTP/1.1", []),
        ("GET /api/status HTTP/1.1", ["Content-Length: 5", "Content-Length: 6"]),
        ("GET /api/status HTTP/1.1", ["Transfer-Encoding: gzip"]),
        ("GET /api/status HTTP/1.1", ["Host: evil.example"]),
        ("GET /api/status HTTP/1.1", [" folded: 1"]),
        ("GET /api/status HTTP/1.1", ["A\x00: 1"]),
        ("GET /api/status HTTP/1.1", ["Content-Length: -1"]),
        ("GET\x00 / HTTP/1.1", []),
        ("PRI * HTTP/2.0", []),
        ("GET /api/status HTTP/3.7", []),
        ("\x16\x03\x01\x02\x00\x01", []),
        ("CONNECT evil.example:443 HTTP/1.1", []),
    ],
)
async def test_what_is_not_http_gets_no_answer_of_ours(tmp_path: Path, line: str, headers: list[str]) -> None:
    async with serving(tmp_path) as served:
        wire = await served.connect()
        await _send_all(wire, request(served, line, *headers) + b"x" * 10)
        reply = await wire.reply()
        assert reply is None or reply.status >= 400
        await fine(served)


@pytest.mark.parametrize(
    "headers",
    [
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
        [
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        ],
    ],
)
async def test_other_protocols_are_refused(tmp_path: Path, headers: list[str]) -> None:
    async with serving(tmp_path) as served:
        wire = await served.connect()
        await wire.send(request(served, "GET /api/status HTTP/1.1", *headers))
        assert await wire.ended()
        assert b"journal" not in served.seen.replace(b"journal.", b"")
        await fine(served)


async def test_pipelined_requests_are_answered_in_order_and_each_is_checked(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.login()
        wire = await served.connect()
        cookie = f"Cookie: {served.cookie}"
        await wire.send(
            request(served, "GET /api/status HTTP/1.1", cookie)
            + request(served, "GET /api/status HTTP/1.1")
            + b"GET /api/status HTTP/1.1\r\nHost: evil.example\r\n"
            + cookie.encode()
            + b"\r\n\r\n"
            + request(served, "GET /api/session HTTP/1.1", cookie)
        )
        replies = [await wire.reply() for _ in range(4)]
        assert [reply and reply.status for reply in replies] == [200, 401, 400, 200]
        await wire.stream.aclose()


async def test_a_request_hidden_in_a_body_is_not_a_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        wire = await served.connect(unix=True)
        hidden = request(served, "POST /api/commands HTTP/1.1")
        await wire.send(request(served, "POST /api/link HTTP/1.1", f"Content-Length: {len(hidden)}") + hidden)
        assert (await wire.reply()) is not None
        with trio.move_on_after(0.2):
            assert not await wire.receive(), "there is no second answer"
        await fine(served)


# Slow clients.


@pytest.mark.parametrize(
    "sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\nX", b"POST /api/login HTTP/1.1\r\n"]
)
async def test_a_request_that_does_not_end_is_cut(
    tmp_path: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.2)
    async with serving(tmp_path) as served:
        for unix in (False, True):
            wire = await served.connect(unix=unix)
            await wire.send(sent)
            assert await wire.ended()
        await fine(served)


async def test_a_body_that_does_not_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.3)
    async with serving(tmp_path) as served:
        wire = await served.connect(unix=True)
        await wire.send(request(served, "POST /api/commands HTTP/1.1", "Content-Length: 100") + b"{")
        assert await wire.ended()
        await fine(served)


async def test_a_drop_at_a_time_does_not_extend_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_S", 0.4)
    async with serving(tmp_path) as served:
        wire = await served.connect()
        ended = trio.Event()

        async def drip() -> None:
            while True:
                await _send_all(wire, b"X")
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip)
            assert await wire.ended()
            ended.set()
            nursery.cancel_scope.cancel()
        await fine(served)


async def test_an_idle_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "IDLE_S", 0.2)
    async with serving(tmp_path) as served:
        wire = await served.connect(unix=True)
        assert (await served.ask("/api/status", unix=True, wire=wire)).status == 200
        assert await wire.ended()


async def test_connections_are_bounded_and_the_socket_stays_open_to_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 20)
    async with serving(tmp_path) as served:
        for _ in range(40):
            await served.connect()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert served.server._connections[1].count <= 20
        assert (await served.ask("/api/status", unix=True)).status == 200


async def test_a_hundred_streams_that_are_not_read_hold_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SEND_S", 0.5)
    async with serving(tmp_path) as served:
        await served.login()
        cookie = f"Cookie: {served.cookie}"
        wires = [await served.connect() for _ in range(100)]
        for wire in wires:
            await wire.send(request(served, "GET /api/stream HTTP/1.1", cookie))
        answered = [wire for wire in wires if (reply := await wire.reply()) and reply.status == 200]
        assert len(answered) == stream.STREAMS_MAX, "the others are refused"
        # Far more than all buffers hold; nobody reads.
        frame = b"event: fill\ndata: " + b'"x"' * 10_000 + b"\n\n"
        for seq in range(1, 400):
            served.server._source.messages.add([(seq, frame)], seq)
            if seq % 20 == 0:
                await trio.sleep(0.01)
                await fine(served)
        await no_streams(served)
        assert (await served.ask("/api/stream", method="HEAD")).status == 200
        await fine(served)


async def test_the_end_of_a_session_ends_its_stream(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.login()
        wire = await served.connect()
        await wire.send(request(served, "GET /api/stream HTTP/1.1", f"Cookie: {served.cookie}"))
        assert b"event: hello" in await wire.until(b"event: hello")
        assert (await served.ask("/api/logout", method="POST")).status == 200
        assert b"0\r\n\r\n" in await wire.until(b"0\r\n\r\n")
        assert (await served.ask("/api/status")).status == 401


async def test_a_closed_stream_is_noticed(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        wire = await served.connect(unix=True)
        await wire.send(request(served, "GET /api/stream HTTP/1.1"))
        await wire.until(b"event: hello")
        assert served.server._api.streams == 1
        await wire.stream.aclose()
        await no_streams(served)


async def test_a_stop_is_not_held_up_by_streams_and_ends_them(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        await served.login()
        for unix in (True, False) * 5:
            wire = await served.connect(unix=unix)
            await wire.send(request(served, "GET /api/stream HTTP/1.1", f"Cookie: {served.cookie}"))
            await wire.until(b"event: hello")
        wires, served.wires = served.wires[-10:], served.wires[:-10]
        began = trio.current_time()
    assert trio.current_time() - began < 5
    for wire in wires:
        assert (await wire.until(b"\r\n0\r\n\r\n")).endswith(b"\r\n0\r\n\r\n"), "the stream ends in order"
        assert await wire.ended()
        await wire.stream.aclose()


async def test_a_stop_does_not_wait_for_a_long_reading_of_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    async with serving(tmp_path, tcp=False) as served:
        served.tick()
        await served.settled()
        source = served.server._source
        monkeypatch.setattr(source._journal, "answer", lambda *_, **__: release.wait(PATIENCE_S))
        wire = await served.connect(unix=True)
        await wire.send(b"GET /api/why/1 HTTP/1.1\r\nHost: engine\r\n\r\n")
        with trio.fail_after(PATIENCE_S):
            while not source._reading.borrowed_tokens:  # noqa: ASYNC110
                await trio.sleep(0.01)
        began = trio.current_time()
    assert trio.current_time() - began < 5
    release.set()


# Addresses.


@pytest.mark.parametrize(
    "target",
    [
        "/../../etc/passwd",
        "/page/../../../etc/passwd",
        "/page/..%2f..%2f__init__.py",
        "/page/%2e%2e/app.py",
        "/page/__init__.py",
        "/page/",
        "/page",
        "//etc/passwd",
        "/page//etc/passwd",
        "/page/index.html%00.js",
        "/engine.sock",
        "/journal.id",
        "/%2e%2e/journal.id",
        "/%",
        "/%ff",
        "/api/../journal.id",
        "/api/why/../../journal.id",
        "http://evil.example/",
        "*",
    ],
)
async def test_no_address_reaches_a_file(tmp_path: Path, target: str) -> None:
    (tmp_path / "journal.id").write_text("secret", encoding="utf-8")
    async with serving(tmp_path) as served:
        for method in ("GET", "HEAD"):
            reply = await served.ask(target, method=method)
            assert reply.status in (400, 401, 404)
            assert reply.status != 200
        assert b"secret" not in served.seen
        assert b"root:" not in served.seen


@pytest.mark.parametrize(
    "text",
    ["99999999999999999999999999", "-1", "1e3", "", "1;2", "٣", "0x10", "1_000", "a" * 5000],
)
async def test_an_absurd_last_event_id_is_refused(tmp_path: Path, text: str) -> None:
    async with serving(tmp_path) as served:
        headers = {"Last-Event-ID": text.encode("utf-8").decode("latin-1")}
        assert (await served.ask("/api/stream", unix=True, headers=dict(headers))).code == "bad_query"
        await fine(served)


async def test_a_last_event_id_of_the_future_gets_a_resync(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        wire = await served.connect(unix=True)
        await wire.send(request(served, "GET /api/stream HTTP/1.1", "Last-Event-ID: 999999999999999"))
        assert b"event: resync" in await wire.until(b"event: resync")
        await wire.stream.aclose()


async def test_a_header_cannot_be_injected(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for target in ("/%0d%0aSet-Cookie:%20a=b", "/api/status?x=%0d%0aSet-Cookie:%20a=b"):
            reply = await served.ask(target, unix=True)
            assert "set-cookie" not in reply.headers
        reply = await served.ask("/api/login", method="POST", body={"token": "a\r\nSet-Cookie: x=y"})
        assert "set-cookie" not in reply.headers


async def test_a_long_address_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reply = await served.ask("/api/status?x=" + "a" * TARGET_BYTES_MAX, unix=True)
        assert reply.code == "bad_request"


# Secrets.


async def test_no_answer_and_no_line_has_a_secret(tmp_path: Path) -> None:
    async with serving(tmp_path, password="correct horse battery") as served:
        first = served.token
        await served.ask("/api/login", method="POST", body={"token": first + "x"})
        await served.ask("/api/login", method="POST", body={"password": "wrong horse"})
        await served.login()
        secret = served.cookie.partition("=")[2].encode()
        assert served.seen.count(secret) == 1, "the cookie is sent once"
        for target in ("/", "/api/status", "/api/session", "/api/health", f"/?token={first}", "/nothing"):
            await served.ask(target)
            await served.ask(target, method="HEAD")
        await served.ask("/api/commands", method="POST", body={"command": "x", "nonce": first})
        assert served.seen.count(secret) == 1
        for text in (first, "correct horse battery", "wrong horse"):
            assert text.encode() not in served.seen
            assert not any(text in repr(line) for line in served.health)
            assert text not in repr(served.ingress.take())


async def test_wrong_logins_are_recorded_and_their_number_is_bounded(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        codes = [
            (await served.ask("/api/login", method="POST", body={"token": f"wrong{number}"})).code
            for number in range(30)
        ]
        assert codes.count("login_failed") == 5
        assert codes.count("login_limit") == 25
        recorded = served.ingress.take()
        assert [(type(one).__name__, one.address, one.reason) for one in recorded] == [
            ("LoginFailed", "127.0.0.1", "token")
        ] * 5
        late = await served.ask("/api/login", method="POST", body={"token": "wrong"})
        assert 0 < int(late.headers["retry-after"]) <= 300
        assert (await served.login()).status == 200, "the link of the engine is good all the same"

"""A hostile websocket: whatever comes, the session goes on, and what it records is bounded and printable."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from engine.config import BarsConfig, Config, DataConfig
from engine.events import EdgeChanged, Event, FeedDamaged, FeedDown, FeedUp, Trade
from engine.runtime.live import Live
from engine.runtime.plan import LiveResult
from tests.hostile.stranger import (
    Fetch,
    Stranger,
    close_frame,
    dripping,
    flooding,
    frame,
    response,
    strange,
)
from tests.live.kit import Venue, assert_replays, of, trade

MIB = 1 << 20
PAPER = Config(
    bars=BarsConfig(intervals=("1m",)),
    data=DataConfig(warmup_bars=0, channels=("activeAssetCtx", "l2Book", "allMids")),
)
PATIENCE_S = 300

Act = Callable[[Stranger], Awaitable[None]]


async def survives(root: Path, act: Act) -> LiveResult:
    """Run a session on paper, let the venue act once trades come, and wait for trades after it."""
    async with strange() as stranger:

        async def script(live: Live) -> None:
            await recorded(root, Trade, 3)
            await act(stranger)
            await trio.sleep(1)
            await recorded(root, Trade, len(of(Trade, root)) + 3)

        venue = Venue(stranger.venue.sandbox, stranger.base_url)
        result = await trade(root, venue, PAPER, script, paper=True)
    assert not result.failures
    assert not of(EdgeChanged, root) or {one.state for one in of(EdgeChanged, root)} <= {"running", "stopped"}
    for one in (*of(FeedDown, root), *of(FeedDamaged, root)):
        assert one.reason.isprintable(), one.reason
        assert len(one.reason) <= 400
    assert all(line.isprintable() for line in result.health.values())
    assert_replays(root)
    return result


async def recorded(root: Path, kind: type[Event], count: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while len(of(kind, root)) < count:  # noqa: ASYNC110
            await trio.sleep(0.25)


def text(channel: str, data: Any) -> str:
    return json.dumps({"channel": channel, "data": data})


def row(**members: Any) -> dict[str, Any]:
    now_ms = 1_741_179_310_000
    plain = {"coin": "BTC", "side": "A", "px": "100", "sz": "1", "time": now_ms, "tid": 5, "hash": "0x0"}
    return plain | members


def trades(**members: Any) -> str:
    return text("trades", [row(**members)])


BOOK = {"coin": "BTC", "time": 1_741_179_310_000, "levels": [[], []]}
MESSAGES = {
    "nan": '{"channel":"trades","data":[{"coin":"BTC","side":"A","px":NaN,"sz":"1","time":1,"tid":1}]}',
    "infinity": trades(px="Infinity"),
    "1e999": '{"channel":"bbo","data":{"coin":"BTC","time":1e999,"bbo":[null,null]}}',
    "digits": trades(sz="9" * 25),
    "thousands-of-digits": '{"channel":"trades","data":[{"coin":"BTC","tid":' + "9" * 5000 + "}]}",
    "far-future": trades(time=2**63 - 1),
    "year-2255": trades(time=9_000_000_000_000),
    "before-epoch": trades(time=-(2**63)),
    "year-1970": text("bbo", {"coin": "BTC", "time": 0, "bbo": [None, None]}),
    "candle-far": text(
        "candle", {"t": 2**62, "T": 2**62, "s": "BTC", "i": "1m", **dict.fromkeys("ohlcv", "1"), "n": 1}
    ),
    "twice": '{"channel":"trades","channel":"bbo","data":[],"data":{"coin":"ETH"},"data":5}',
    "nested": '{"channel":"trades","data":' + "[" * 100_000,
    "nested-unknown": '{"channel":"other","data":' + "[" * 500 + "]" * 500 + "}",
    "list": '{"channel":"trades","data":[' + ",".join("0" for _ in range(500_000)) + "]}",
    "rows": text("trades", [row(tid=number) for number in range(6000)]),
    "mids": text("allMids", {"mids": {f"N{number}": "1" for number in range(30_000)}}),
    "levels": text("l2Book", BOOK | {"levels": [[{"px": "1", "sz": "1", "n": 1}] * 5000, []]}),
    "foreign-market": trades(coin="NOWHERE"),
    "escape": trades(coin="\x1b[2J\x1b]0;x\x07"),
    "bidi": trades(coin="\u202eCTB\u2066"),
    "formula": trades(coin="=cmd|' /C calc'!A0"),
    "error-escape": text("error", "\x1b[31mred\x1b[0m \u202e\r\n"),
    "error-long": text("error", "a" * 900_000),
    "error-names": text("error", 'Already subscribed: {"type":"\x1b[2J","coin":"BTC"}'),
    "html": "<html><body>502 Bad Gateway</body></html>",
    "empty": "",
    "other-channel": text("\x1b[2J" * 10, {}),
    "user-data": text("userFills", {"user": "0x" + "1" * 40, "fills": []}),
}


@pytest.mark.parametrize("part", range(4))
async def test_v01_to_v08_a_message_that_no_venue_sends_costs_itself_only(
    paced_clock: Clock, tmp_path: Path, part: int
) -> None:
    """Each is sent alone, in sessions of seven."""
    chosen = [*MESSAGES.values()][part::4]

    async def act(stranger: Stranger) -> None:
        for message in chosen:
            await stranger.say(frame(message))
            await trio.sleep(3)

    await survives(tmp_path, act)
    assert not of(FeedDown, tmp_path), "the connection is kept"
    assert of(FeedDamaged, tmp_path)
    now_ns = 1_741_179_310_000_000_000
    assert all(abs(one.venue_ns - now_ns) < 10**12 for one in of(Trade, tmp_path))


FRAMES: dict[str, list[bytes]] = {
    "length-that-lies": [frame(b"", length=200 * MIB), b"x" * 1000],
    "longest-length": [frame(b"", length=2**63 - 1)],
    "negative-length": [frame(b"", length=2**64 - 1)],
    "reserved-opcode": [frame(b"x", 3)],
    "reserved-bits": [b"\xf1\x01x"],
    "masked": [b"\x81\x81\x00\x00\x00\x00x"],
    "long-ping": [frame(b"x" * 126, 9)],
    "continuation-of-nothing": [frame(b"x", 0)],
    "text-in-a-text": [frame("a", fin=False), frame("b")],
    "bad-utf-8": [frame(b'{"channel":"\xff"}')],
    "http": [b"HTTP/1.1 200 OK\r\n\r\n"],
    "zeros": [bytes(1000)],
    "close-without-code": [frame(b"", 8)],
    "close-half-code": [frame(b"\x03", 8)],
    "close-bad-code": [close_frame(1005)],
    "close-escape": [close_frame(1008, b"\x1b[2J\x1b[31m")],
    "close-bad-utf-8": [close_frame(1000, b"\xff\xfe")],
    "close-private": [close_frame(4999, "\u202e".encode())],
    "close-then-data": [close_frame(1012), frame(trades())],
}


@pytest.mark.parametrize("part", range(3))
async def test_n12_n21_bytes_that_are_no_websocket_are_a_loss_and_a_new_connection(
    paced_clock: Clock, tmp_path: Path, part: int
) -> None:
    async def act(stranger: Stranger) -> None:
        for chunks in [*FRAMES.values()][part::3]:
            downs, ups = len(of(FeedDown, tmp_path)), len(of(FeedUp, tmp_path))
            await stranger.say(*chunks)
            await recorded(tmp_path, FeedDown, downs + 1)
            await recorded(tmp_path, FeedUp, ups + 1)

    await survives(tmp_path, act)


async def test_n12_fragments_of_one_byte_with_pings_between_are_one_message(
    paced_clock: Clock, tmp_path: Path
) -> None:
    def pieces(message: str) -> list[bytes]:
        data = message.encode()
        parts = []
        for at in range(0, len(data), 7):
            end = at + 7
            parts += [frame(data[at:end], 0 if at else 1, fin=end >= len(data)), frame(b"ping", 9)]
        return [b"".join(parts)[at : at + 1] for at in range(len(b"".join(parts)))]

    async def act(stranger: Stranger) -> None:
        stranger.speak = pieces
        await trio.sleep(0.4)
        stranger.speak = lambda message: [frame(message)]

    await survives(tmp_path, act)
    assert not of(FeedDown, tmp_path)
    assert not of(FeedDamaged, tmp_path)


async def flood(stranger: Stranger, first: bytes, part: bytes, times: int) -> None:
    """Write the same bytes until the client is gone."""
    connections = stranger.connections
    await stranger.say(first)
    for _ in range(times):
        if stranger.connections > connections:
            return
        await stranger.say(part)


FLOODS: dict[str, Act] = {
    "frame-of-200-mib": lambda stranger: flood(stranger, frame(b"", length=200 * MIB), b" " * 65_536, 3200),
    "fragments-without-end": lambda stranger: flood(
        stranger, frame(b"x", fin=False), frame(b" " * 65_536, 0, fin=False) * 4, 800
    ),
    "empty-fragments": lambda stranger: flood(
        stranger, frame(b"x", fin=False), frame(b"", 0, fin=False) * 1000, 4
    ),
    "messages-of-1-mib": lambda stranger: flood(
        stranger, b"", frame('{"channel":"x","data":"' + "y" * (MIB - 100) + '"}'), 60
    ),
    "pings": lambda stranger: flood(stranger, b"", frame(b"p" * 125, 9) * 100, 4),
    "empty-messages": lambda stranger: flood(stranger, b"", frame(b"") * 100, 10),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_n13_a_flood_of_any_kind_is_bounded(paced_clock: Clock, tmp_path: Path, name: str) -> None:
    tracemalloc.start()
    try:
        await survives(tmp_path, FLOODS[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 96 * MIB, f"{peak >> 20} MiB"


async def silent(stream: trio.SocketStream, fetch: Fetch) -> None:
    await trio.sleep(100)


HANDSHAKES: dict[str, Any] = {
    "silent": silent,
    "slow": dripping(b"HTTP/1.1 101 Switching Protocols\r\n", 1.0),
    "handshake-html": flooding(response(b"<html>"), b"", 0),
    "redirect": flooding(response(b"", 302, {"location": "http://elsewhere.example/"}), b"", 0),
    "headers": flooding(b"HTTP/1.1 101 x\r\n", b"x-y: " + b"z" * 5000 + b"\r\n", 2000),
    "wrong-key": flooding(
        b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: AAAA\r\n\r\n",
        b"",
        0,
    ),
    "not-http": flooding(b"\x00\x01\x02", b"\xff" * 100, 3),
    "control-characters": flooding(b"HTTP/1.1 403 \x1b[2J\r\n\r\n", b"", 0),
}


@pytest.mark.parametrize("name", HANDSHAKES)
async def test_n05_n15_a_handshake_that_is_none_is_a_loss_and_is_tried_again(
    paced_clock: Clock, tmp_path: Path, name: str
) -> None:
    async def act(stranger: Stranger) -> None:
        connections = stranger.connections
        stranger.handshake = HANDSHAKES[name]
        await stranger.say(close_frame(1001))
        with trio.fail_after(PATIENCE_S):
            while stranger.connections < connections + 2:  # noqa: ASYNC110
                await trio.sleep(0.25)
        stranger.handshake = None

    await survives(tmp_path, act)
    assert len(of(FeedDown, tmp_path)) >= 2

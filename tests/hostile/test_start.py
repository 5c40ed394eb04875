"""Hostile answers to the reads of a start: refused with exit 5 and one line, in bounded memory."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.abc import Clock

from adapters.hyperliquid.info import HyperliquidInfo
from engine.config import BarsConfig, Config, DataConfig
from engine.errors import EngineError, VenueError, VenueProtocolError
from engine.runtime.live import Live
from tests.hostile.stranger import Act, Fetch, answering, changing, dripping, flooding, response, strange
from tests.live.kit import Venue, trade

# httpx leaves its own generators to the collector when an answer is not read to its end.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

MIB = 1 << 20
PAPER = Config(bars=BarsConfig(intervals=("1m",)), data=DataConfig(warmup_bars=0))
STATUS_MS = 1_741_179_300_000


async def refused(root: Path, kind: str, act: Act, settings: Config = PAPER) -> EngineError:
    """Start a session on paper that gets this answer; return the error that ends it."""
    async with strange() as stranger:
        stranger.answers[kind] = act
        started = trio.current_time()
        venue = Venue(stranger.venue.sandbox, stranger.base_url)

        async def script(live: Live) -> None:
            await trio.sleep(5)

        with pytest.raises(EngineError) as caught:
            await trade(root, venue, settings, script, paper=True)
        assert trio.current_time() - started < 30, "three tries of five seconds, and the waits"
        assert stranger.requests[kind]
    assert recorded_nothing(root)
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable(), text
    assert len(text) < 500
    return caught.value


def recorded_nothing(root: Path) -> bool:
    return not any(root.rglob("*.seg"))


def bomb(inflated: int) -> bytes:
    return gzip.compress(b"[" + b" " * inflated, compresslevel=9, mtime=0)


async def explode(stream: trio.SocketStream, fetch: Fetch) -> None:
    await answering(bomb(64 * MIB), headers={"content-encoding": "gzip"})(stream, fetch)


BODIES: dict[str, Act] = {
    "html": answering(b"<html>maintenance</html>", headers={"content-type": "text/html"}),
    "another-type": answering(b"{}", headers={"content-type": "image/png"}),
    "empty": answering(b""),
    "null": answering(b"null"),
    "cut": answering(b'{"universe":[{"name":"BTC"', length=5000),
    "redirect": answering(b"", 302, {"location": "http://elsewhere.example/\x1b[2J"}),
    "redirect-to-itself": answering(b"", 307, {"location": "/info"}),
    "bomb": explode,
    "broken-gzip": answering(b"\x1f\x8b" + bytes(90), headers={"content-encoding": "gzip"}),
    "another-coding": answering(b"xxxx", headers={"content-encoding": "zstd, gzip, \x1b[2J"}),
    "nested": answering(b'{"universe":' + b"[" * 100_000),
    "nan": answering(b'{"universe":[{"name":"BTC","szDecimals":NaN}]}'),
    "infinity": answering(b'{"universe":[{"name":"BTC","szDecimals":1e999}]}'),
    "digits": answering(b'{"universe":[{"name":"BTC","szDecimals":' + b"9" * 5000 + b"}]}"),
    "control-characters": answering(b'{"universe":[{"name":"\\u001b[2J\\u202e=1+1","szDecimals":77}]}'),
    "bad-utf-8": answering(b'{"universe":[{"name":"\xff","szDecimals":1}]}'),
    "headers": answering(b"{}", headers={f"x-{number}": "y" * 900 for number in range(200)}),
    "long-header": answering(b"{}", headers={"x": "y" * 200_000}),
    "not-http": flooding(b"SSH-2.0-OpenSSH_9.9\r\n", b"\x00" * 1000, 3),
    "two-lengths": answering(b"{}", headers={"Content-Length": "9"}),
}


@pytest.mark.parametrize("name", BODIES)
async def test_n16_v02_an_answer_that_is_none_ends_a_start_with_exit_5_and_one_line(
    paced_clock: Clock, tmp_path: Path, name: str
) -> None:
    error = await refused(tmp_path, "meta", BODIES[name])
    assert error.exit_code == VenueError.exit_code


BIG: dict[str, Callable[[], Act]] = {
    "body": lambda: flooding(response(b"", length=200 * MIB), b" " * 65_536, 3200),
    "chunks": lambda: flooding(
        b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65_536 + b"\r\n", 3200
    ),
    "continue": lambda: flooding(b"", b"HTTP/1.1 100 x\r\n\r\n" * 100, 50),
    "bomb-of-200-mib": lambda: answering(bomb(200 * MIB), headers={"content-encoding": "gzip"}),
    "list": lambda: answering(b'{"universe":[' + b"{}," * 1_000_000 + b"{}]}"),
    "instruments": lambda: answering(
        json.dumps({"universe": [{"name": f"N{n}", "szDecimals": 1} for n in range(200_000)]}).encode()
    ),
    "members": lambda: answering(b"{" + b",".join(b'"%d":0' % n for n in range(600_000)) + b"}"),
}


@pytest.mark.parametrize("name", BIG)
async def test_n14_v07_an_answer_of_any_length_is_stopped_at_its_bound(
    paced_clock: Clock, tmp_path: Path, name: str
) -> None:
    act = BIG[name]()
    tracemalloc.start()
    try:
        error = await refused(tmp_path, "meta", act)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.exit_code == VenueError.exit_code
    assert peak < 96 * MIB, f"{peak >> 20} MiB"


@pytest.mark.parametrize("kind", ["meta", "exchangeStatus"])
async def test_n18_a_start_does_not_wait_for_bytes_that_are_slow(
    paced_clock: Clock, tmp_path: Path, kind: str
) -> None:
    error = await refused(tmp_path, kind, dripping(response(b'{"time":1}' + b" " * 90), 1.0))
    assert "no answer within 5 s" in str(error)


def listed(**members: Any) -> Act:
    """Change the first instrument of the listing."""

    def edit(meta: Any) -> Any:
        meta["universe"][0].update(members)
        return meta

    return changing(edit)


LISTINGS: dict[str, Act] = {
    "escape": listed(name="\x1b[2J"),
    "bidi": listed(name="\u202eCTB"),
    "newline": listed(name="BTC\nfake line"),
    "nul": listed(name="BTC\x00"),
    "twice": listed(name="ETH"),
    "empty-name": listed(name=""),
    "long": listed(name="B" * 65),
    "decimals": listed(szDecimals=19),
    "negative": listed(szDecimals=-1),
    "leverage": listed(maxLeverage=10**9),
    "none": changing(lambda meta: {**meta, "universe": []}),
}


@pytest.mark.parametrize("name", LISTINGS)
async def test_v06_a_listing_with_names_or_grids_that_no_instrument_has_is_refused(
    paced_clock: Clock, tmp_path: Path, name: str
) -> None:
    error = await refused(tmp_path, "meta", LISTINGS[name])
    assert error.exit_code in (2, 5)


@pytest.mark.parametrize(
    "status",
    [
        *({"time": -1}, {"time": 0}, {"time": 2**63 - 1}, {"time": 10**20}, {"time": 9_000_000_000_001}),
        *(
            {"time": 9_000_000_000_000},
            {"time": STATUS_MS * 1000},
            {"time": "1"},
            {"time": 1.5},
            {"time": None},
        ),
        *(
            {"time": STATUS_MS, "speed": 0},
            {"time": STATUS_MS, "speed": -1},
            {"time": STATUS_MS, "speed": 1e300},
        ),
    ],
)
async def test_t06_a_clock_that_no_venue_has_is_refused(
    paced_clock: Clock, tmp_path: Path, status: dict[str, Any]
) -> None:
    error = await refused(tmp_path, "exchangeStatus", answering(json.dumps(status).encode()))
    assert error.exit_code == 5


async def test_v07_recent_trades_that_have_a_million_rows(paced_clock: Clock) -> None:
    """V07: a read whose rows are looked at one by one, so that the first bad one does not end it."""
    tracemalloc.start()
    try:
        async with strange() as stranger, HyperliquidInfo(stranger.base_url) as info:
            stranger.answers["recentTrades"] = answering(b"[" + b"0," * 1_000_000 + b"0]")
            with pytest.raises(VenueProtocolError, match="more than 500000 members"):
                await info.recent_trades("BTC")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 96 * MIB


async def test_i11_a_venue_cannot_leave_cookies(paced_clock: Clock) -> None:
    """I11: a venue could make every later request longer."""
    async with strange() as stranger, HyperliquidInfo(stranger.base_url) as info:
        status = b'{"time":1}'
        stranger.answers["exchangeStatus"] = answering(status, headers={"set-cookie": "a=" + "b" * 4000})
        for _ in range(3):
            await info.exchange_status()
        assert len(stranger.heads) == 3
        assert not any(b"cookie" in head.lower() for head in stranger.heads)

"""Reading over HTTP: bounded, without redirects; every failure is one of two errors with the address."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest
import trio

from adapters.hyperliquid.answers import SpotMeta, SpotPair, SpotToken
from adapters.hyperliquid.info import (
    HyperliquidInfo,
)
from adapters.hyperliquid.limits import LIMITS
from adapters.hyperliquid.listing import list_instruments, perp_rules
from adapters.hyperliquid.networks import MAINNET_URL, TESTNET_URL, check_base_url, websocket_url
from adapters.hyperliquid.wire import AssetInfo, Meta
from adapters.transport.addresses import is_loopback
from adapters.transport.governor import BudgetSpent, Governor, Rate
from adapters.transport.protocol import BODY_BYTES_MAX
from engine.errors import UsageError, VenueError, VenueProtocolError, VenueUnreachable
from engine.events import InstrumentListed

from .venue import row

META = {
    "universe": [
        {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 54},
        {"name": "kPEPE", "szDecimals": 0, "isDelisted": None},
        {"name": "LOOM", "szDecimals": 1, "isDelisted": True, "marginMode": "strictIsolated"},
        {"name": "TINY", "szDecimals": 6},
    ],
    "marginTables": [[50, {"description": "", "marginTiers": []}]],
    "collateralToken": 0,
}

# httpx leaves a generator behind when a body is not read to its end; trio says so, and closes it.
UNREAD = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")

Handler = Callable[[httpx.Request], httpx.Response]


def asking(handler: Handler, base_url: str = MAINNET_URL, **options: Any) -> HyperliquidInfo:
    return HyperliquidInfo(base_url, transport=httpx.MockTransport(handler), **options)


class Pieces(httpx.AsyncByteStream):
    """A body in pieces; counts how much was taken."""

    def __init__(self, piece: bytes, count: int) -> None:
        self._piece = piece
        self._count = count
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._count):
            self.taken += len(self._piece)
            yield self._piece


def answering(*answers: httpx.Response | Exception) -> tuple[Handler, list[httpx.Request]]:
    """Return a handler that gives these answers in turn (the last one repeatedly), and its requests."""
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        # Made again each time, and as off the wire: not read yet.
        stream = Pieces(answer.content, 1) if hasattr(answer, "_content") else answer.stream
        return httpx.Response(answer.status_code, headers=answer.headers, stream=stream)

    return handle, asked


async def test_each_request_has_the_venues_form() -> None:
    handle, asked = answering(
        httpx.Response(200, json=META),
        httpx.Response(200, json={"time": 1_790_231_586_439, "specialStatuses": None}),
        httpx.Response(200, json=[row(2), row(1)]),
    )
    async with asking(handle) as info:
        assert [asset.name for asset in (await info.meta()).universe] == ["BTC", "kPEPE", "LOOM", "TINY"]
        assert (await info.exchange_status()).time == 1_790_231_586_439
        assert [one.tid - 10**12 for one in await info.recent_trades("BTC")] == [2, 1]
    assert [json.loads(request.content) for request in asked] == [
        {"type": "meta"},
        {"type": "exchangeStatus"},
        {"type": "recentTrades", "coin": "BTC"},
    ]
    assert {str(request.url) for request in asked} == {"https://api.hyperliquid.xyz/info"}
    assert {request.method for request in asked} == {"POST"}
    assert {request.headers["content-type"] for request in asked} == {"application/json"}


@pytest.mark.parametrize(
    ("answer", "kind", "tries"),
    [
        (httpx.Response(502, html="<html>bad gateway</html>"), VenueUnreachable, 3),
        (httpx.Response(500), VenueUnreachable, 3),
        (httpx.Response(503, text="maintenance"), VenueUnreachable, 3),
        (httpx.Response(504), VenueUnreachable, 3),
        (httpx.Response(429), VenueUnreachable, 3),
        (httpx.ConnectError("refused"), VenueUnreachable, 3),
        (httpx.ReadTimeout(""), VenueUnreachable, 3),
        (httpx.RemoteProtocolError("nonsense"), VenueUnreachable, 3),
        (httpx.Response(500, json=None, headers={"content-type": "application/json"}, content=b"null"),
         VenueProtocolError, 1),
        (httpx.Response(200, html="<html>\n<title>hello</title></html>"), VenueProtocolError, 1),
        (httpx.Response(200), VenueProtocolError, 1),
        (httpx.Response(200, content=b"\xff"), VenueProtocolError, 1),
        (httpx.Response(200, json={"universe": [{"name": "BTC"}]}), VenueProtocolError, 1),
        (httpx.Response(403, html="<html>no</html>"), VenueProtocolError, 1),
        (httpx.Response(418), VenueProtocolError, 1),
        (httpx.Response(422, text="Failed to deserialize"), VenueProtocolError, 1),
        (httpx.Response(204), VenueProtocolError, 1),
    ],
)  # fmt: skip
async def test_n01_n15_n16_a_failure_is_one_line_with_the_address(
    autojump_clock, answer: httpx.Response | Exception, kind: type[VenueError], tries: int
) -> None:
    """N01, N15, N16: every status, HTML, an empty body; faults are tried three times, refusals once."""
    handle, asked = answering(answer)
    async with asking(handle) as info:
        with pytest.raises(kind) as caught:
            await info.meta()
    assert type(caught.value) is kind
    assert str(caught.value).startswith("https://api.hyperliquid.xyz/info: ")
    assert "\n" not in str(caught.value)
    assert len(asked) == tries


async def test_n16_a_temporary_fault_is_not_reported(autojump_clock) -> None:
    """N16: the second or third try counts."""
    handle, asked = answering(httpx.Response(502), httpx.ConnectError("x"), httpx.Response(200, json=META))
    async with asking(handle) as info:
        assert len((await info.meta()).universe) == 4
    assert len(asked) == 3
    assert trio.current_time() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("after", "tries", "seconds"), [("4", 3, 8), ("3600", 1, 0), ("soon", 3, 10), ("²", 3, 10)]
)
async def test_n15_retry_after_is_honoured_or_the_request_fails(
    autojump_clock, after: str, tries: int, seconds: float
) -> None:
    """N15: a request is never repeated sooner than the venue allows."""
    headers = {"retry-after": after.encode()}
    handle, asked = answering(httpx.Response(429, headers=headers))  # type: ignore[arg-type]
    async with asking(handle) as info:
        with pytest.raises(VenueUnreachable, match="too many requests"):
            await info.meta()
    assert len(asked) == tries
    assert trio.current_time() == pytest.approx(seconds)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_n17_a_redirect_is_refused_and_not_followed(status: int) -> None:
    """N17: to any host."""
    handle, asked = answering(httpx.Response(status, headers={"location": "https://elsewhere.example/info"}))
    async with asking(handle) as info:
        with pytest.raises(VenueProtocolError, match="redirected to 'https://elsewhere"):
            await info.meta()
    assert len(asked) == 1


@UNREAD
async def test_n05_a_venue_that_never_answers_causes_a_timeout(autojump_clock) -> None:
    """N05: each try is bounded as a whole, trickling answers included."""

    class Trickle(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await trio.sleep(1)
                yield b" "

    handle, asked = answering(httpx.Response(200, stream=Trickle()))
    async with asking(handle, timeout_s=5.0) as info:
        with pytest.raises(VenueUnreachable, match="no answer within 5 s"):
            await info.meta()
    assert len(asked) == 3
    assert trio.current_time() < 20


@UNREAD
async def test_n14_an_answer_above_8_mebibytes_is_not_read_on() -> None:
    """N14, V07: plain."""
    body = Pieces(b" " * (1 << 20), 64)
    handle, _ = answering(httpx.Response(200, stream=body))
    async with asking(handle) as info:
        with pytest.raises(VenueProtocolError, match="longer than 8388608 bytes"):
            await info.meta()
    assert body.taken == BODY_BYTES_MAX + (1 << 20)


@UNREAD
async def test_n14_a_gzip_answer_that_inflates_to_200_megabytes_is_stopped() -> None:
    """N14: 200 KB on the wire; never more than the bound is inflated, which the memory shows."""
    bomb = gzip.compress(bytes(200 << 20), 9)
    assert len(bomb) < 250_000
    handle, _ = answering(httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Pieces(bomb, 1)))
    async with asking(handle) as info:
        tracemalloc.start()
        try:
            with pytest.raises(VenueProtocolError, match="longer than"):
                await info.meta()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 6 * BODY_BYTES_MAX


@UNREAD
async def test_n14_a_valid_gzip_answer_is_read_and_other_codings_are_refused() -> None:
    """N14: requests accept plain answers only; gzip is read nevertheless."""
    body = gzip.compress(json.dumps(META).encode())
    handle, asked = answering(
        httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Pieces(body, 1)),
        httpx.Response(200, headers={"content-encoding": "br"}, stream=Pieces(b"x", 1)),
        httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Pieces(zlib.compress(b"{}"), 1)),
    )
    async with asking(handle) as info:
        assert len((await info.meta()).universe) == 4
        with pytest.raises(VenueProtocolError, match="'br'"):
            await info.meta()
        with pytest.raises(VenueProtocolError, match="broken gzip"):
            await info.meta()
    assert asked[0].headers["accept-encoding"] == "identity"


async def test_the_pace_of_a_sandbox_counts_only_on_this_machine() -> None:
    handle, _ = answering(httpx.Response(200, json={"time": 5, "speed": 60.0}))
    async with asking(handle, "http://127.0.0.1:3001") as info:
        assert (await info.exchange_status()).speed == 60.0
    async with asking(handle) as info:
        assert (await info.exchange_status()).speed is None


# ---- listing


def meta(*assets: AssetInfo) -> Meta:
    return Meta(list(assets))


def test_a_listing_has_the_venue_s_grid() -> None:
    listed = list_instruments(meta(AssetInfo("BTC", 5), AssetInfo("kPEPE", 0)), 7, ["kPEPE", "BTC", "BTC"])
    assert listed == [
        InstrumentListed(7, 1, "hyperliquid", "kPEPE", 6, 0, price_figures=5, rules=perp_rules("kPEPE", 20)),
        InstrumentListed(7, 2, "hyperliquid", "BTC", 1, 5, price_figures=5, rules=perp_rules("BTC", 20)),
    ]


def test_a_listing_has_the_venue_s_margin_tiers() -> None:
    text = b"""{
        "universe": [
            {"name": "BTC", "szDecimals": 5, "maxLeverage": 40, "marginTableId": 56},
            {"name": "TINY", "szDecimals": 1, "maxLeverage": 3, "marginTableId": 3}
        ],
        "marginTables": [
            [56, {"description": "tiered 40x", "marginTiers": [
                {"lowerBound": "0.0", "maxLeverage": 40}, {"lowerBound": "150000000.0", "maxLeverage": 20}
            ]}],
            [3, {"description": "", "marginTiers": [{"lowerBound": "0.0", "maxLeverage": 3}]}]
        ]
    }"""
    btc, tiny = list_instruments(msgspec.json.decode(text, type=Meta), 7, ["BTC", "TINY"])
    assert (btc.rules.leverage, btc.rules.leverage_max) == (20, 40)
    assert btc.rules.tiers == (("150000000.0", 20),)
    assert (tiny.rules.leverage, tiny.rules.leverage_max, tiny.rules.tiers) == (3, 3, ())
    assert (btc.rules.stated, btc.rules.base, btc.rules.quote) == (True, "BTC", "USDC")
    assert (btc.rules.value_min, btc.rules.value_min_exempts_close) == ("10", True)


def test_instrument_numbers_of_the_journal_are_kept_and_unique() -> None:
    every = meta(*[AssetInfo(name, 2) for name in "ABCDE"])
    listed = list_instruments(every, 7, list("ABCDE"), known={"C": 1, "A": 4, "gone": 2}, first_number=1)
    assert {one.name: one.instrument for one in listed} == {"A": 4, "B": 3, "C": 1, "D": 5, "E": 6}


def test_a_sandbox_may_give_its_own_grid_and_no_other() -> None:
    odd = meta(AssetInfo("X", 8, px_decimals=8), AssetInfo("Y", 2, px_decimals=3))
    x, y = list_instruments(odd, 7, ["X", "Y"], loopback=True)
    assert (x.price_scale, x.size_scale, x.price_figures) == (8, 8, 0)
    assert (y.price_scale, y.size_scale, y.price_figures) == (3, 2, 0)
    (y,) = list_instruments(odd, 7, ["Y"])
    assert (y.price_scale, y.price_figures) == (4, 5)
    with pytest.raises(VenueProtocolError, match="'X' has sizes of 8 decimals"):
        list_instruments(odd, 7, ["X"])


def test_an_unknown_instrument_is_refused_with_the_nearest_name() -> None:
    """An unknown instrument would close the whole socket, so it is never subscribed to."""
    every = meta(AssetInfo("BTC", 5), AssetInfo("ETH", 4), AssetInfo("LOOM", 1, is_delisted=True))
    with pytest.raises(UsageError, match="no instrument 'btc'; did you mean BTC"):
        list_instruments(every, 7, ["btc"])
    with pytest.raises(UsageError, match=r"no instrument 'QQQQQQ'; it has BTC, ETH"):
        list_instruments(every, 7, ["QQQQQQ"])
    with pytest.raises(UsageError, match="LOOM is delisted"):
        list_instruments(every, 7, ["LOOM"])


TOKENS = ("USDC", "PURR", "HYPE", "UBTC", "TWIN")
PAIRS = [("PURR/USDC", 1), ("@107", 2), ("@142", 3), ("@200", 4), ("@201", 4)]
SPOT_META = SpotMeta(
    [SpotPair(name, index, (base, 0)) for index, (name, base) in enumerate(PAIRS)],
    [SpotToken(name, 2, index) for index, name in enumerate(TOKENS)],
)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("HYPE/USDC", "@107"),
        ("@107", "@107"),
        ("PURR/USDC", "PURR/USDC"),
        ("UBTC/USDC", "@142"),
        ("BTC", "BTC"),
    ],
)
def test_a_spot_pair_is_found_by_its_tokens(text: str, name: str) -> None:
    (listed,) = list_instruments(meta(AssetInfo("BTC", 5)), 7, [text], spot=SPOT_META)
    assert (listed.name, listed.key) == (name, f"hyperliquid:{name}")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hype/usdc", "HYPE/USDC (@107)"),
        ("HYPE-USDC", "HYPE/USDC (@107)"),
        ("HYPEUSDC", "HYPE/USDC (@107)"),
        ("BTC/USDC", "UBTC/USDC (@142)"),
        ("purr_usdc", "PURR/USDC?"),
        ("BTC-PERP", "BTC?"),
        ("BTC/USDT", "BTC?"),
        ("ETH/USDC:USDC", "ETH?"),
    ],
)
def test_other_spellings_are_refused_with_the_instrument_that_was_meant(text: str, meant: str) -> None:
    perps = meta(AssetInfo("BTC", 5), AssetInfo("ETH", 4))
    with pytest.raises(UsageError, match=re.escape(f"has no instrument {text!r}; did you mean {meant}")):
        list_instruments(perps, 7, [text], spot=SPOT_META)


def test_a_pair_that_the_venue_has_twice_is_refused_with_both() -> None:
    with pytest.raises(UsageError, match="several pairs TWIN/USDC; write one of @200, @201"):
        list_instruments(meta(), 7, ["TWIN/USDC"], spot=SPOT_META)


@pytest.mark.parametrize(
    "address",
    [
        "", "api.hyperliquid.xyz", "http://api.hyperliquid.xyz", "http://192.168.1.5:3001", "ftp://localhost",
        "https://", "https://user:secret@localhost", "http://localhost:99999", "http://[", "https://x/?a=1",
        "http://localhost.evil.example", "http://127.0.0.1.evil.example", "ws://localhost:3001",
    ],
)  # fmt: skip
def test_n22_an_address_in_plain_text_to_another_machine_is_refused(address: str) -> None:
    """N22: no plain-text path exists; and an invalid address is named."""
    with pytest.raises(UsageError):
        check_base_url(address)
    assert "secret" not in MAINNET_URL


def test_the_websocket_is_beside_the_rest() -> None:
    assert websocket_url(MAINNET_URL) == "wss://api.hyperliquid.xyz/ws"
    assert websocket_url(TESTNET_URL + "/") == "wss://api.hyperliquid-testnet.xyz/ws"
    assert websocket_url("http://localhost:3001") == "ws://localhost:3001/ws"
    assert websocket_url("http://[::1]:3001") == "ws://[::1]:3001/ws"
    assert is_loopback("http://127.9.9.9:1")
    assert not is_loopback(MAINNET_URL)


async def test_a_closed_client_can_be_used_again() -> None:
    """As by a restarted feed."""
    handle, asked = answering(httpx.Response(200, json=META))
    info = asking(handle)
    for _ in range(2):
        async with info:
            await info.meta()
    await info.aclose()
    assert len(asked) == 2


async def test_f15_one_recent_trade_that_cannot_be_read_leaves_a_hole_in_its_place() -> None:
    rows = [row(4), {**row(3), "sz": 0.5}, "row", row(1)]
    handle, _ = answering(httpx.Response(200, json=rows))
    async with asking(handle) as info:
        found = await info.recent_trades("BTC")
    assert [one and one.tid - 10**12 for one in found] == [4, None, None, 1]


# ---- the venue's limits


async def test_n15_every_request_has_a_weight_and_every_answer_is_charged_for_its_rows() -> None:
    """N15: by the venue's table; all clients share one budget."""
    governor = Governor(LIMITS)
    handle, _ = answering(httpx.Response(200, json=[row(n) for n in range(100)]))
    async with asking(handle, governor=governor) as info, asking(handle, governor=governor) as other:
        await info.recent_trades("BTC")
        await other.recent_trades("BTC")
    assert governor.budget().weight == 2 * (20 + 5)


@pytest.mark.parametrize(
    ("status", "headers", "silent_s"),
    [(429, {}, 5.0), (429, {"retry-after": "40"}, 40.0), (418, {}, 60.0), (403, {}, 60.0)],
)
async def test_n15_a_refusal_stops_every_client_of_the_budget(
    autojump_clock, status: int, headers: dict[str, str], silent_s: float
) -> None:
    """N15: the budget is cut, and requests of other clients wait as well."""
    governor = Governor(LIMITS)
    refusing, _ = answering(httpx.Response(status, headers=headers))
    serving, asked = answering(httpx.Response(200, json=META))
    async with asking(refusing, governor=governor) as info, asking(serving, governor=governor) as other:
        async with trio.open_nursery() as nursery:

            async def refused() -> None:
                with pytest.raises(VenueError):
                    await info.meta()

            nursery.start_soon(refused)
            await trio.sleep(0.1)
            assert governor.budget().weight_limit == 600
            nursery.cancel_scope.cancel()
        await other.meta()
    assert len(asked) == 1
    assert trio.current_time() == pytest.approx(silent_s, abs=0.2)


async def test_n15_without_budget_in_time_nothing_is_sent(autojump_clock) -> None:
    """N15: this has its own error."""
    governor = Governor(msgspec.structs.replace(LIMITS, weight=Rate(20)))
    handle, asked = answering(httpx.Response(200, json=META))
    async with asking(handle, governor=governor) as info:
        with pytest.raises(BudgetSpent):
            await info.meta()
    assert asked == []

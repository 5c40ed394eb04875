"""/info over a real socket: valid answers, and the venue's errors."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from trio.abc import Clock

from engine.events import InstrumentListed
from engine.values import BUY, SELL, parse_scaled
from tests.loopback import http_client
from tests.pacing import pacing

from .kit import BTC, PURR, START_NS, ask, quote, running, tape_of, trade

START_MS = START_NS // 1_000_000
OPENING = [
    quote(0, 841430, 841440),
    quote(0, 209990, 210010, instrument=2),
    *(trade(i, 841430 + 10 * (i % 2), size=36 + i, side=BUY if i % 2 else SELL) for i in range(40)),
]


async def test_meta_has_the_grid_of_every_instrument(paced_clock: Clock) -> None:
    binance = InstrumentListed(START_NS, 3, "binance", "BTCUSDT", 2, 8)
    async with pacing(), running(tape_of(OPENING, [BTC, PURR, binance])) as (_, address):
        meta = await ask(address, {"type": "meta", "dex": ""})
        assert [(u["name"], u["szDecimals"], u.get("pxDecimals")) for u in meta["universe"]] == [
            ("BTC", 5, None),
            ("PURR", 0, None),
            ("BTCUSDT", 8, 2),
        ]
        tables = {table_id for table_id, _ in meta["marginTables"]}
        assert all(u["marginTableId"] in tables and u["maxLeverage"] > 0 for u in meta["universe"])
        assert meta["collateralToken"] == 0
        both = await ask(address, {"type": "metaAndAssetCtxs"})
        assert both[0] == meta
        assert len(both[1]) == 3
        assert both[1][0]["midPx"] == "84143.5"
        assert both[1][0]["impactPxs"] == ["84143.0", "84144.0"]
        # The third instrument has no market data: these members are null, as on the venue for an empty book.
        assert (both[1][2]["midPx"], both[1][2]["premium"], both[1][2]["impactPxs"]) == (None, None, None)
        assert set(both[1][0]) == {
            *("funding", "openInterest", "prevDayPx", "dayNtlVlm", "premium", "oraclePx", "markPx"),
            *("midPx", "impactPxs", "dayBaseVlm"),
        }


async def test_spot_meta_has_all_fields_that_a_client_needs(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(OPENING)) as (_, address):
        spot = await ask(address, {"type": "spotMeta"})
        assert spot["universe"] == []
        assert spot["tokens"][0]["name"] == "USDC"


async def test_exchange_status_has_the_time_and_the_speed(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(OPENING), speed=50) as (_, address):
        status = await ask(address, {"type": "exchangeStatus"})
        assert set(status) == {"time", "specialStatuses", "speed"}
        assert status["specialStatuses"] is None
        assert status["speed"] == 50
        assert START_MS <= status["time"] < START_MS + 50 * 10_000


async def test_recent_trades_are_newest_first_and_exact(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(OPENING), speed=1000) as (sandbox, address):
        rows: list[dict[str, Any]] = []
        while len(rows) < 40:
            rows = await ask(address, {"type": "recentTrades", "coin": "BTC"})
        assert [row["time"] for row in rows] == [START_MS + i for i in reversed(range(40))]
        assert [parse_scaled(row["sz"], 5) for row in rows] == [36 + i for i in reversed(range(40))]
        assert rows[0].keys() == {"coin", "side", "px", "sz", "time", "hash", "tid", "users"}
        assert (rows[0]["side"], rows[0]["px"], rows[1]["side"], rows[1]["px"]) == (
            "B",
            "84144.0",
            "A",
            "84143.0",
        )
        assert len(rows[0]["hash"]) == 66
        assert [len(user) for user in rows[0]["users"]] == [42, 42]
        assert sandbox.now_ms >= rows[0]["time"]


async def test_a_book_surrounds_the_best_bid_and_ask(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(OPENING)) as (_, address):
        book = await ask(address, {"type": "l2Book", "coin": "BTC"})
        assert set(book) == {"coin", "time", "levels"}
        assert [len(side) for side in book["levels"]] == [20, 20]
        assert book["levels"][0][0]["px"] == "84143.0"
        assert book["levels"][1][0]["px"] == "84144.0"
        coarse = await ask(address, {"type": "l2Book", "coin": "BTC", "nSigFigs": 4, "mantissa": None})
        assert coarse["levels"][0][0]["px"] == "84140.0"
        assert coarse["levels"][1][0]["px"] == "84150.0"
        assert coarse["spread"] == "10.0"
        assert await ask(address, {"type": "l2Book", "coin": "NOPE"}) is None


async def test_candles_equal_bars_computed_from_the_tape(paced_clock: Clock) -> None:
    async with (
        pacing(),
        running(instruments=("ETH",), clock="tape", history_s=6 * 3600, speed=0.001) as (_, address),
    ):
        trades = await ask(address, {"type": "recentTrades", "coin": "ETH"})
        bars: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for row in reversed(trades):
            bars[row["time"] // 60_000 * 60_000].append(row)
        whole = sorted(bars)[1:]
        assert whole, "500 trades of ETH should span more than one minute"
        request = {"coin": "ETH", "interval": "1m", "startTime": whole[0], "endTime": None}
        candles = await ask(address, {"type": "candleSnapshot", "req": request})
        assert [candle["t"] for candle in candles] == whole
        for candle in candles:
            window = bars[candle["t"]]
            prices = [parse_scaled(row["px"], 2) for row in window]
            assert candle["T"] == candle["t"] + 59_999
            assert (candle["s"], candle["i"], candle["n"]) == ("ETH", "1m", len(window))
            assert [parse_scaled(candle[name], 2) for name in "ohlc"] == [
                *(prices[0], max(prices), min(prices), prices[-1]),
            ]
            assert parse_scaled(candle["v"], 4) == sum(parse_scaled(row["sz"], 4) for row in window)

        async def total(interval: str) -> tuple[int, int, int]:
            request = {"coin": "ETH", "interval": interval, "startTime": 0}
            rows = await ask(address, {"type": "candleSnapshot", "req": request})
            volume = sum(parse_scaled(row["v"], 4) for row in rows)
            return sum(row["n"] for row in rows), volume, parse_scaled(rows[-1]["c"], 2)

        minutes = await total("1m")
        for interval in ("3m", "5m", "15m", "30m", "1h", "2h", "4h", "8h", "12h", "1d"):
            assert await total(interval) == minutes


async def test_mids_are_the_mid_of_the_quote_or_the_last_trade(paced_clock: Clock) -> None:
    async with (
        pacing(),
        running(tape_of([quote(0, 841430, 841440), trade(0, 210000, instrument=2)])) as (_, address),
    ):
        assert await ask(address, {"type": "allMids"}) == {"BTC": "84143.5", "PURR": "0.21"}


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    # Recorded on the venue: status and body.
    (
        "unknown type",
        {"json": {"type": "nope"}},
        422,
        "Failed to deserialize the JSON body into the target type",
    ),
    (
        "missing member",
        {"json": {"type": "candleSnapshot", "coin": "BTC"}},
        422,
        "Failed to deserialize the JSON body into the target type",
    ),
    ("not an object", {"json": [1]}, 422, "Failed to deserialize the JSON body into the target type"),
    (
        "unknown interval",
        {"json": {"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "7m", "startTime": 0}}},
        422,
        "Failed to deserialize the JSON body into the target type",
    ),
    (
        "broken",
        {"content": b'{"type":', "headers": {"content-type": "application/json"}},
        400,
        "Failed to parse the request body as JSON",
    ),
    (
        "not text",
        {"content": b"\xff\xfe", "headers": {"content-type": "application/json"}},
        400,
        "Failed to parse the request body as JSON",
    ),
    (
        "content type",
        {"content": b'{"type":"meta"}', "headers": {"content-type": "text/plain"}},
        415,
        "Expected request with `Content-Type: application/json`",
    ),
    (
        "no content type",
        {"content": b'{"type":"meta"}'},
        415,
        "Expected request with `Content-Type: application/json`",
    ),
    ("unknown dex", {"json": {"type": "metaAndAssetCtxs", "dex": "nope"}}, 500, "null"),
    ("unknown coin", {"json": {"type": "recentTrades", "coin": "btc"}}, 500, "null"),
    (
        "too long",
        {"content": b" " * 1_100_000, "headers": {"content-type": "application/json"}},
        413,
        "length limit exceeded",
    ),
]


async def test_invalid_requests_are_refused_as_on_the_venue(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(OPENING)) as (_, address), http_client() as client:
        for name, request, status, body in REFUSED:
            response = await client.post(address.base_url + "/info", **request)
            assert (name, response.status_code, response.text) == (name, status, body)
        response = await client.get(address.base_url + "/info")
        assert (response.status_code, response.text) == (405, "")
        # The connection and the sandbox still work.
        assert (await client.post(address.base_url + "/info", json={"type": "meta"})).status_code == 200


@pytest.mark.parametrize("history_s", [0.0, 60.0])
async def test_with_clock_now_the_tape_has_the_current_time(paced_clock: Clock, history_s: float) -> None:
    async with pacing(), running(history_s=history_s) as (sandbox, address):
        first = await ask(address, {"type": "l2Book", "coin": "PURR"})
        assert abs(first["time"] - sandbox.now_ms) < 5000
        rows = await ask(address, {"type": "recentTrades", "coin": "BTC"})
        assert all(row["time"] <= sandbox.now_ms for row in rows)
        if history_s:
            assert rows[-1]["time"] < sandbox.now_ms - 10_000

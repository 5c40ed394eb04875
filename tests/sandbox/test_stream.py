"""/ws over a real socket: acknowledgements, first frames, streams and errors, as clients see them."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from trio.abc import Clock

from engine.values import SELL, parse_scaled
from tests.pacing import pacing

from .kit import (
    BTC,
    MS,
    START_NS,
    ask,
    connected,
    quote,
    receive,
    receive_until,
    running,
    send,
    tape_of,
    trade,
    until,
)

START_MS = START_NS // MS
HISTORY = [quote(0, 841430, 841440), *(trade(i, 841440, tid=1000 + i) for i in range(50))]
LATER = [trade(2000, 841440, tid=5), trade(2000, 841430, tid=6, side=SELL), quote(2000, 841420, 841430)]

# (subscription as sent, as acknowledged). Those in the reference were recorded on the venue.
NORMALIZED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "trades", "coin": "BTC"}, {"type": "trades", "coin": "BTC"}),
    ({"coin": "BTC", "type": "bbo", "odd": 1}, {"type": "bbo", "coin": "BTC"}),
    (
        {"type": "l2Book", "coin": "BTC"},
        {"type": "l2Book", "coin": "BTC", "nSigFigs": None, "mantissa": None, "fast": False},
    ),
    (
        {"type": "l2Book", "coin": "BTC", "fast": True},
        {"type": "l2Book", "coin": "BTC", "nSigFigs": None, "mantissa": None, "fast": True},
    ),
    (
        {"type": "l2Book", "coin": "BTC", "nSigFigs": 5, "mantissa": 2},
        {"type": "l2Book", "coin": "BTC", "nSigFigs": 5, "mantissa": 2, "fast": False},
    ),
    (
        {"type": "candle", "coin": "BTC", "interval": "15m"},
        {"type": "candle", "coin": "BTC", "interval": "15m"},
    ),
    ({"type": "allMids"}, {"type": "allMids", "dex": None}),
    ({"type": "activeAssetCtx", "coin": "BTC"}, {"type": "activeAssetCtx", "coin": "BTC"}),
]


@pytest.mark.parametrize(("sent", "echoed"), NORMALIZED)
async def test_the_acknowledgement_is_normalized_and_precedes_the_data(
    paced_clock: Clock, sent: dict[str, Any], echoed: dict[str, Any]
) -> None:
    async with (
        pacing(),
        running(tape_of(HISTORY), history_s=0.5) as (_, address),
        connected(address) as socket,
    ):
        await send(socket, "subscribe", **sent)
        data = {"method": "subscribe", "subscription": echoed}
        assert await receive(socket) == {"channel": "subscriptionResponse", "data": data}
        if sent["type"] != "candle":
            assert (await receive(socket))["channel"] == sent["type"]
        await send(socket, "unsubscribe", **sent)
        assert await receive_until(socket, "subscriptionResponse") == {**data, "method": "unsubscribe"}


async def test_every_trades_subscription_begins_with_the_latest_thirty_trades(paced_clock: Clock) -> None:
    async with (
        pacing(),
        running(tape_of([*HISTORY, *LATER]), history_s=0.5) as (_, address),
        connected(address) as socket,
    ):
        for _ in range(2):
            await send(socket, "subscribe", type="trades", coin="BTC")
            rows = await receive_until(socket, "trades")
            assert [row["tid"] for row in rows] == [1000 + i for i in range(20, 50)]
            await send(socket, "unsubscribe", type="trades", coin="BTC")
            await receive_until(socket, "subscriptionResponse")
        await send(socket, "subscribe", type="trades", coin="BTC")
        await receive_until(socket, "trades")
        rows = await receive_until(socket, "trades")
        # The two trades of one block are in one frame.
        assert [(row["tid"], row["side"], row["px"]) for row in rows] == [
            (5, "B", "84144.0"),
            (6, "A", "84143.0"),
        ]


async def test_an_instrument_without_trades_gets_an_empty_first_frame(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(HISTORY)) as (_, address), connected(address) as socket:
        await send(socket, "subscribe", type="trades", coin="PURR")
        assert await receive_until(socket, "trades") == []


async def test_bbo_is_sent_when_it_changes_after_the_trades_that_changed_it(paced_clock: Clock) -> None:
    same = quote(900, 841430, 841440)
    tape = tape_of([*HISTORY, same, *LATER])
    async with pacing(), running(tape, history_s=0.5) as (_, address), connected(address) as socket:
        await send(socket, "subscribe", type="trades", coin="BTC")
        await receive_until(socket, "trades")
        await send(socket, "subscribe", type="bbo", coin="BTC")
        first = await receive_until(socket, "bbo")
        assert [side["px"] for side in first["bbo"]] == ["84143.0", "84144.0"]
        assert (await receive(socket))["channel"] == "trades"
        last = await receive(socket)
        assert last["channel"] == "bbo"
        assert last["data"]["time"] == START_MS + 2000
        assert [side["px"] for side in last["data"]["bbo"]] == ["84142.0", "84143.0"]
        assert set(last["data"]["bbo"][0]) == {"px", "sz", "n"}


async def test_books_are_sent_at_once_and_then_periodically(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(HISTORY), speed=20) as (_, address), connected(address) as socket:
        await send(socket, "subscribe", type="l2Book", coin="BTC")
        await send(socket, "subscribe", type="l2Book", coin="BTC", fast=True)
        slow, fast = [], []
        while len(slow) < 3:
            book = await receive_until(socket, "l2Book")
            (fast if book.get("fast") else slow).append(book)
        assert [len(side) for book in slow for side in book["levels"]] == [20] * 6
        assert {len(side) for book in fast for side in book["levels"]} == {5}
        assert 5000 <= slow[2]["time"] - slow[1]["time"] < 9000
        # At 20 times real time the fast books come every 50 ms of real time: every second of the tape.
        assert len(fast) >= 4
        assert all(late["time"] > soon["time"] for soon, late in pairwise(fast))


async def test_the_last_frame_of_a_candle_has_its_final_state(paced_clock: Clock) -> None:
    events = [*HISTORY, trade(59_990, 841450), trade(60_010, 841460), trade(60_020, 841470)]
    async with (
        pacing(),
        running(tape_of(events), history_s=59, speed=5) as (_, address),
        connected(address) as socket,
    ):
        await send(socket, "subscribe", type="candle", coin="BTC", interval="1m")
        seen = []
        while not seen or seen[-1]["c"] != "84147.0":
            seen.append(await receive_until(socket, "candle"))
        closing = [candle for candle in seen if candle["t"] == START_MS][-1]
        assert (closing["c"], closing["n"], closing["T"]) == ("84145.0", 51, START_MS + 59_999)
        assert (seen[-1]["t"], seen[-1]["o"], seen[-1]["n"]) == (START_MS + 60_000, "84146.0", 2)


async def test_mids_are_sent_at_once_and_then_periodically(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(HISTORY), speed=100) as (_, address), connected(address) as socket:
        await send(socket, "subscribe", type="allMids")
        for _ in range(3):
            assert await receive_until(socket, "allMids") == {"mids": {"BTC": "84143.5"}}


async def test_a_ping_is_answered_by_a_pong_without_data(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(HISTORY)) as (_, address), connected(address) as socket:
        await socket.send_message('{"method":"ping"}')
        assert await receive(socket) == {"channel": "pong"}


BAD_FRAMES = [
    # The first two were recorded on the venue. The echo keeps the sender's spacing.
    '{"method":"subscribe","subscription":{"type":"bbo","coin":["BTC","ETH"]}}',
    '{"method": "subscribe", "subscription": {"type": "noSuchType", "coin": "BTC"}}',
    '{"method":"shout"}',
    '{"method":"subscribe"}',
    '{"method":"post","request":{"type":"info","payload":{"type":"meta"}}}',
    "not json",
    "[]",
]


async def test_errors_are_one_string_and_the_connection_stays_open(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(HISTORY)) as (_, address), connected(address) as socket:
        for text in BAD_FRAMES:
            await socket.send_message(text)
            expected = "Error parsing JSON into valid websocket request: " + text
            assert await receive(socket) == {"channel": "error", "data": expected}
        await send(socket, "subscribe", type="l2Book", coin="PURR")
        await receive_until(socket, "l2Book")
        await send(socket, "subscribe", type="l2Book", coin="PURR", fast=False)
        normalized = '{"type":"l2Book","coin":"PURR","nSigFigs":null,"mantissa":null,"fast":false}'
        assert await receive_until(socket, "error") == "Already subscribed: " + normalized
        await send(socket, "unsubscribe", type="l2Book", coin="PURR", fast=True)
        absent = normalized.replace("false", "true")
        assert await receive_until(socket, "error") == "Already unsubscribed: " + absent
        await socket.send_message('{"method":"ping"}')
        await receive_until(socket, "pong")


async def test_a_post_has_the_same_answer_as_http(paced_clock: Clock) -> None:
    async with pacing(), running(tape_of(HISTORY)) as (_, address), connected(address) as socket:

        async def post(number: int, **payload: Any) -> Any:
            request = {"type": "info", "payload": payload}
            await socket.send_message(json.dumps({"method": "post", "id": number, "request": request}))
            data = await receive_until(socket, "post")
            assert data["id"] == number
            return data["response"]

        meta = await ask(address, {"type": "meta"})
        assert await post(1, type="meta") == {"type": "info", "payload": {"type": "meta", "data": meta}}
        # Recorded on the venue: an unknown instrument gives null, one level deeper than over HTTP.
        unknown = {"type": "info", "payload": {"type": "l2Book", "data": None}}
        assert await post(7, type="l2Book", coin="NOPE") == unknown
        refused = await post(8, type="nope")
        assert refused["type"] == "error"
        assert refused["payload"].startswith("422 ")


async def test_the_stream_equals_the_tape(paced_clock: Clock) -> None:
    events = [trade(4000 + i * 7, 841430 + 10 * (i * i % 9), size=1 + i, tid=10_000 - i) for i in range(400)]
    tape = tape_of([quote(0, 841430, 841440), *events])
    async with pacing(), running(tape, speed=4) as (_, address), connected(address) as socket:
        await send(socket, "subscribe", type="trades", coin="BTC")
        rows: list[Any] = []
        while len(rows) < len(events):
            rows += await receive_until(socket, "trades")
        got = [
            (r["time"], parse_scaled(r["px"], BTC.price_scale), parse_scaled(r["sz"], 5), r["tid"])
            for r in rows
        ]
        assert got == [(e.venue_ns // MS, e.price, e.size, e.trade_id) for e in events]


async def test_after_the_end_of_the_tape_the_clock_continues_and_connections_stay_open(
    paced_clock: Clock,
) -> None:
    async with (
        pacing(),
        running(tape_of(HISTORY), speed=100) as (sandbox, address),
        connected(address) as socket,
    ):
        await until(lambda: sandbox.now_ms > START_MS + 5000)
        await send(socket, "subscribe", type="trades", coin="BTC")
        assert len(await receive_until(socket, "trades")) == 30
        await socket.send_message('{"method":"ping"}')
        await receive_until(socket, "pong")
        assert (await ask(address, {"type": "exchangeStatus"}))["time"] > START_MS + 5000


async def test_at_two_thousand_times_real_time_it_keeps_up(paced_clock: Clock) -> None:
    async with (
        pacing(),
        running(clock="tape", speed=2000) as (sandbox, address),
        connected(address) as socket,
    ):
        for coin in ("BTC", "ETH", "PURR"):
            await send(socket, "subscribe", type="trades", coin=coin)
            await send(socket, "subscribe", type="bbo", coin=coin)
        count, began_ms, lags = 0, sandbox.now_ms, []
        while sandbox.now_ms < began_ms + 2000 * 1000:
            rows = await receive_until(socket, "trades")
            if rows:
                count += len(rows)
                lags.append(sandbox.now_ms - rows[-1]["time"])
        assert count > 3000
        # The median lag in milliseconds of the machine. One is 2000 ms of the tape.
        assert sorted(lags)[len(lags) // 2] / 2000 < 1000


@pytest.mark.parametrize("speed", [1.0, 600.0, 20_000.0])
async def test_a_pong_follows_everything_that_happened_before_its_ping(speed: float) -> None:
    """Trades before the ping, and those of the seconds of the tape that one round plays, are sent first."""
    step_ms = max(1, int(speed / 20))
    times = [number * step_ms for number in range(1, 4000)]
    tape = tape_of([quote(0, 841430, 841440), *(trade(at, 841440) for at in times)])
    async with running(tape, speed=speed) as (sandbox, address), connected(address) as socket:
        await send(socket, "subscribe", type="trades", coin="BTC")
        assert (await receive(socket))["channel"] == "subscriptionResponse"
        got: set[int] = set()
        rounds = 0
        while rounds < 20 or len(got) <= 20:
            rounds += 1
            sent_ms = sandbox.now_ms - START_MS
            await socket.send_message('{"method":"ping"}')
            while (frame := await receive(socket))["channel"] != "pong":
                got |= {row["time"] - START_MS for row in frame["data"]}
            replayed = min(got, default=0)
            assert [at for at in times if replayed <= at <= sent_ms and at not in got] == []

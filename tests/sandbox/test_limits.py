"""The venue's limits per IP address: weights, counts, and what happens beyond a limit."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed
from wsproto.events import RejectConnection

from adapters.hyperliquid.limits import action_weight, info_weight, rows_weight
from adapters.sandbox.limits import POSTS_MAX, WEIGHT_MAX, VenueLimits
from adapters.sandbox.server import SandboxAddress
from tests.loopback import http_client

from .exchange.kit import ALICE, orders, post, signed, wire
from .kit import (
    START_NS,
    ask,
    connected,
    quote,
    raw_session,
    receive,
    receive_until,
    running,
    send,
    tape_of,
    trade,
    until,
)

TAPE = tape_of([quote(0, 841430, 841440), *(trade(i, 841440) for i in range(41))])
NONCE = START_NS // 1_000_000

INFO_WEIGHTS = {
    **dict.fromkeys(("l2Book", "allMids", "clearinghouseState", "orderStatus", "exchangeStatus"), 2),
    "spotClearinghouseState": 2,
    "userRole": 60,
    **dict.fromkeys(("meta", "candleSnapshot", "recentTrades", "userFills", "openOrders", "nonsense"), 20),
}
ROWS = {
    "candleSnapshot": {0: 0, 1: 1, 60: 1, 61: 2, 5000: 84},
    "userFillsByTime": {0: 0, 1: 1, 20: 1, 21: 2, 2000: 100},
    "openOrders": {1000: 0},
}


def limits(*, lifted: bool = False, speed: float = 1.0) -> VenueLimits:
    return VenueLimits(lifted=lifted, speed=speed, connections_open_max=10, subscriptions_max=1000)


async def refusal_status(address: SandboxAddress) -> int:
    """Return the HTTP status with which a new websocket is refused."""
    seen, _ = await raw_session(address)
    assert isinstance(seen[0], RejectConnection)
    return seen[0].status_code


def body(**request: Any) -> bytes:
    return msgspec.json.encode(request)


@pytest.mark.parametrize(("kind", "weight"), INFO_WEIGHTS.items())
async def test_an_info_request_has_the_documented_weight(kind: str, weight: int) -> None:
    counted = limits()
    assert counted.request(body(type=kind), action=False)
    assert counted.weight == weight == info_weight(kind)


@pytest.mark.parametrize("kind", ROWS)
async def test_rows_add_weight(kind: str) -> None:
    for rows, weight in ROWS[kind].items():
        counted = limits()
        counted.rows(kind, json.dumps([0] * rows))
        assert counted.weight == weight == rows_weight(kind, rows)


@pytest.mark.parametrize(("kind", "name"), [("order", "orders"), ("cancel", "cancels"), ("x", "modifies")])
@pytest.mark.parametrize(("entries", "weight"), [(0, 1), (1, 1), (39, 1), (40, 2), (79, 2), (200, 6)])
async def test_the_weight_of_an_action_depends_on_the_length_of_its_batch(
    kind: str, name: str, entries: int, weight: int
) -> None:
    counted = limits()
    assert counted.request(body(action={"type": kind, name: [0] * entries}), action=True)
    assert counted.weight == weight == action_weight(entries)


@pytest.mark.parametrize(
    "invalid", [b"", b"[1]", b'"x"', b"\xff", b'{"type":[]}', b'{"action":1}', b"[" * 9999]
)
@pytest.mark.parametrize("action", [False, True])
async def test_invalid_requests_have_a_weight_too(invalid: bytes, action: bool) -> None:
    counted = limits()
    assert counted.request(invalid, action=action)
    assert counted.weight == (1 if action else 20)


async def test_used_weight_is_free_again_after_a_minute(
    autojump_clock: trio.testing.MockClock,
) -> None:
    counted = limits()
    for second in range(60):
        assert counted.request(body(type="meta"), action=False)
        assert counted.weight == 20 * (second + 1)
        await trio.sleep(0.9)
    assert counted.weight == WEIGHT_MAX
    assert not counted.request(body(type="allMids"), action=False)
    assert counted.refused == {"weight": 1}
    await trio.sleep(6.1)
    # The first request is older than a minute. The refused one had no weight.
    assert counted.weight == WEIGHT_MAX - 20
    assert counted.request(body(type="meta"), action=False)
    assert not counted.request(body(type="meta"), action=False)
    await trio.sleep(60.1)
    assert counted.weight == 0


async def test_a_fast_sandbox_allows_more_per_real_minute() -> None:
    counted = limits(speed=10.0)
    for _ in range(10 * 60):
        assert counted.request(body(type="meta"), action=False)
    assert not counted.request(body(type="meta"), action=False)


async def test_messages_and_connections_are_counted_separately() -> None:
    counted = limits()
    assert all(counted.message() for _ in range(2000))
    assert not counted.message()
    assert all(counted.connection(0) for _ in range(30))
    assert not counted.connection(0)
    assert counted.refused == {"messages": 1, "connections": 1}
    assert counted.messages == 2000


async def test_memory_of_a_window_is_bounded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    counted = limits(speed=1000.0)
    for _ in range(20_000):
        counted.message()
        await trio.sleep(0.01)
    assert len(counted._messages._ticks) <= 602


async def test_lifted_limits_keep_only_those_that_protect_the_sandbox() -> None:
    counted = limits(lifted=True)
    assert all(counted.request(body(type="userRole"), action=False) for _ in range(100))
    assert all(counted.message() for _ in range(3000))
    assert all(counted.connection(number) for number in range(200))
    assert not counted.connection(counted.connections_open_max)
    assert counted.subscriptions_max > 1000
    assert counted.users_max > 10


async def test_beyond_the_weight_limit_requests_and_orders_get_429() -> None:
    async with running(TAPE, accounts=((ALICE, "100000"),)) as (sandbox, address):
        async with http_client() as client:
            for _ in range(60):
                assert (
                    await client.post(address.base_url + "/info", json={"type": "meta"})
                ).status_code == 200
            refused = await client.post(address.base_url + "/info", json={"type": "allMids"})
        assert (refused.status_code, refused.text) == (429, "Too many requests")
        assert "retry-after" not in refused.headers
        assert (await post(address, signed(orders(wire("80000", "0.01")), NONCE))).status_code == 429
        assert (sandbox.limits.weight, sandbox.limits.refused) == (1200, {"weight": 2})


async def test_rows_of_an_answer_are_counted_after_it() -> None:
    async with running(TAPE, history_s=1.0) as (sandbox, address):
        assert len(await ask(address, {"type": "recentTrades", "coin": "BTC"})) == 41
        assert sandbox.limits.weight == 20 + 3


async def test_an_info_post_has_no_weight_but_counts_as_a_message() -> None:
    async with running(TAPE) as (sandbox, address), connected(address) as socket:
        request = {"type": "info", "payload": {"type": "meta"}}
        await socket.send_message(json.dumps({"method": "post", "id": 1, "request": request}))
        await receive_until(socket, "post")
        assert (sandbox.limits.weight, sandbox.limits.messages) == (0, 1)


async def test_the_eleventh_connection_is_refused_until_one_closes() -> None:
    async with running(TAPE) as (sandbox, address):
        async with trio.open_nursery() as nursery:
            done = trio.Event()

            async def stay() -> None:
                async with connected(address):
                    await done.wait()

            for _ in range(10):
                nursery.start_soon(stay)
            await until(lambda: sandbox.connections == 10)
            assert await refusal_status(address) == 429
            done.set()
        await until(lambda: not sandbox.connections)
        async with connected(address):
            pass
        assert sandbox.limits.refused == {"connections": 1}


async def test_the_thirty_first_new_connection_of_a_minute_is_refused() -> None:
    async with running(TAPE) as (_, address):
        for _ in range(30):
            async with connected(address):
                pass
        assert await refusal_status(address) == 429


async def test_exceeding_the_message_limit_ends_the_connection() -> None:
    async with running(TAPE) as (_, address), connected(address) as socket:
        for _ in range(2000):
            await socket.send_message('{"method":"ping"}')
            assert await receive(socket) == {"channel": "pong"}
        await socket.send_message('{"method":"ping"}')
        with pytest.raises(ConnectionClosed) as closed:
            await receive(socket)
        assert closed.value.reason.code == 1006


async def test_an_eleventh_user_is_refused_until_one_is_released() -> None:
    users = [f"0x{number:040x}" for number in range(11)]
    async with running(TAPE) as (sandbox, address), connected(address) as one:
        async with connected(address) as two:
            for number, user in enumerate(users[:10]):
                await send(two if number else one, "subscribe", type="orderUpdates", user=user)
            await send(two, "subscribe", type="userFills", user=users[1])  # the same user is counted once
            await receive_until(two, "userFills")
            await send(one, "subscribe", type="orderUpdates", user=users[10])
            assert await receive_until(one, "error") == "Cannot track more than 10 total users."
        await until(lambda: sandbox.connections == 1)
        await send(one, "subscribe", type="orderUpdates", user=users[10])
        assert await receive_until(one, "subscriptionResponse")


async def test_a_post_beyond_the_limit_is_refused_with_its_id() -> None:
    async with running(TAPE) as (sandbox, address), connected(address) as socket:
        sandbox.faults.arm("late-reply", POSTS_MAX + 1, ms=60_000)
        request = {"type": "info", "payload": {"type": "meta"}}
        for number in range(POSTS_MAX + 1):
            await socket.send_message(json.dumps({"method": "post", "id": number, "request": request}))
        assert (await receive_until(socket, "error")).endswith(f"id={POSTS_MAX}")
        assert sandbox.limits.posts == POSTS_MAX
        assert sandbox.limits.refused == {"posts": 1}

"""Request faults over HTTP and as posts: whether the request is processed, and what the client gets."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio
from trio.abc import Clock
from trio_websocket import ConnectionClosed, WebSocketConnection

from adapters.sandbox.server import SandboxAddress
from tests.loopback import http_client
from tests.pacing import pacing

from .exchange.kit import ALICE, GTC, orders, post, signed, wire
from .kit import START_NS, ask, connected, quote, receive_until, running, send, tape_of, trade, until

TAPE = tape_of([quote(0, 841430, 841440), *(trade(i, 841440) for i in range(40))])
ACCOUNT = {"accounts": ((ALICE, "100000"),)}
NONCE = START_NS // 1_000_000
META = {"type": "meta"}


def bid(number: int = 0) -> dict[str, Any]:
    """Return a signed order that rests."""
    return signed(orders(wire("80000", "0.01", kind=GTC)), NONCE + number)


async def open_orders(address: SandboxAddress) -> int:
    return len(await ask(address, {"type": "openOrders", "user": ALICE}))


async def send_post(socket: WebSocketConnection, number: int, kind: str, payload: Any) -> None:
    request = {"type": kind, "payload": payload}
    await socket.send_message(json.dumps({"method": "post", "id": number, "request": request}))


async def test_429_refuses_before_processing_and_has_retry_after_only_if_configured(
    paced_clock: Clock,
) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        sandbox.faults.arm("429", scope="exchange")
        refused = await post(address, bid())
        assert (refused.status_code, refused.text) == (429, "Too many requests")
        assert "retry-after" not in refused.headers
        sandbox.faults.arm("429", ms=2500)
        assert (await post(address, bid())).headers["retry-after"] == "3"
        assert await open_orders(address) == 0
        assert (await post(address, bid())).json()["status"] == "ok"
        assert sandbox.faults.fired == {"429": 2}


async def test_5xx_fails_before_processing(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        sandbox.faults.arm("5xx", 8)
        seen = set()
        for _ in range(8):
            failed = await post(address, bid())
            assert failed.headers["content-type"].startswith("text/html")
            seen.add(failed.status_code)
        assert seen <= {500, 502, 503, 504}
        assert len(seen) > 1
        assert await open_orders(address) == 0


async def test_an_order_with_a_lost_reply_is_open(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address), connected(address) as socket:
        await send(socket, "subscribe", type="orderUpdates", user=ALICE)
        await receive_until(socket, "subscriptionResponse")
        sandbox.faults.arm("lost-reply", scope="exchange")
        with pytest.raises(httpx.TransportError):
            await post(address, bid())
        # The stream is another connection and still reports the order.
        assert (await receive_until(socket, "orderUpdates"))[0]["status"] == "open"
        assert await open_orders(address) == 1


async def test_a_swallowed_order_is_not_placed_and_looks_the_same_to_the_client(
    paced_clock: Clock,
) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        sandbox.faults.arm("swallow", scope="exchange")
        with pytest.raises(httpx.TransportError):
            await post(address, bid())
        assert await open_orders(address) == 0
        # Its nonce is still unused.
        assert (await post(address, bid())).json()["status"] == "ok"


async def test_an_order_with_a_late_reply_is_placed_at_once(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        sandbox.faults.arm("late-reply", scope="exchange", ms=400)
        replies: list[float] = []

        async def place() -> None:
            assert (await post(address, bid())).json()["status"] == "ok"
            replies.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            began = trio.current_time()
            nursery.start_soon(place)
            while not await open_orders(address):
                pass
            assert not replies
        assert replies[0] - began >= 0.4


async def test_faults_of_one_scope_do_not_affect_the_other(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        sandbox.faults.arm("5xx", scope="info")
        assert (await post(address, bid())).json()["status"] == "ok"
        async with http_client() as client:
            assert (await client.post(address.base_url + "/info", json=META)).status_code >= 500


async def test_a_client_may_disconnect_before_its_late_reply(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        sandbox.faults.arm("late-reply", scope="exchange", ms=200)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(post, address, bid())
            while not await open_orders(address):
                pass
            nursery.cancel_scope.cancel()
        await trio.sleep(0.2)
        assert await open_orders(address) == 1


@pytest.mark.parametrize(
    ("kind", "begins"), [("429", "429 Too Many Requests: Too many requests"), ("5xx", "5")]
)
async def test_a_post_is_refused_with_the_status_as_text(paced_clock: Clock, kind: str, begins: str) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address), connected(address) as socket:
        sandbox.faults.arm(kind, scope="exchange")
        await send_post(socket, 7, "action", bid())
        answer = await receive_until(socket, "post")
        assert answer["id"] == 7
        assert answer["response"]["type"] == "error"
        assert answer["response"]["payload"].startswith(begins)
        assert await open_orders(address) == 0


@pytest.mark.parametrize(("kind", "placed"), [("lost-reply", 1), ("swallow", 0)])
async def test_a_post_is_lost_with_its_connection(paced_clock: Clock, kind: str, placed: int) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        async with connected(address) as socket:
            sandbox.faults.arm(kind)
            await send_post(socket, 7, "action", bid())
            with pytest.raises(ConnectionClosed) as closed:
                await receive_until(socket, "post")
            assert closed.value.reason.code == 1006
        assert await open_orders(address) == placed


async def test_a_late_post_does_not_delay_others(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address), connected(address) as socket:
        sandbox.faults.arm("late-reply", scope="exchange", ms=300)
        await send_post(socket, 1, "action", bid())
        await send_post(socket, 2, "info", META)
        assert (await receive_until(socket, "post"))["id"] == 2
        assert sandbox.limits.posts == 1
        answer = await receive_until(socket, "post")
        assert (answer["id"], answer["response"]["type"]) == (1, "action")
        assert sandbox.limits.posts == 0


async def test_a_late_post_ends_with_its_connection(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        async with connected(address) as socket:
            sandbox.faults.arm("late-reply", ms=60_000)
            await send_post(socket, 1, "info", META)
            await until(lambda: sandbox.limits.posts == 1)
        await until(lambda: sandbox.limits.posts == 0)


async def test_a_restart_cuts_all_connections_and_keeps_accounts_and_orders(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        assert (await post(address, bid())).json()["status"] == "ok"
        async with connected(address) as one, connected(address) as two:
            await send(one, "subscribe", type="trades", coin="BTC")
            await receive_until(one, "trades")
            began = trio.current_time()
            sandbox.faults.arm("restart", scope="info", ms=300)
            with pytest.raises(httpx.TransportError):
                await ask(address, META)
            for socket in (one, two):
                with pytest.raises(ConnectionClosed) as closed:
                    await receive_until(socket, "pong")
                assert closed.value.reason.code == 1006
        refused = 0
        while True:
            try:
                found = await open_orders(address)
                break
            except httpx.TransportError:
                refused += 1
                await trio.sleep(0.01)
        assert refused
        assert trio.current_time() - began >= 0.3
        assert found == 1
        assert sandbox.connections == sandbox.subscriptions == 0


async def test_an_order_hit_by_a_restart_is_not_placed(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, **ACCOUNT) as (sandbox, address):
        sandbox.faults.arm("restart", scope="exchange", ms=1)
        with pytest.raises(httpx.TransportError):
            await post(address, bid())
        await trio.sleep(0.01)
        assert await open_orders(address) == 0


async def test_random_faults_are_determined_by_the_seed(paced_clock: Clock) -> None:
    async def statuses(seed: int) -> list[int]:
        found = []
        options = {"faults": "5xx:0.3@info,429:0.3@info", "seed": seed}
        async with pacing(), running(TAPE, **options) as (_, address), http_client() as client:
            for _ in range(30):
                answer = await client.post(address.base_url + "/info", json={"type": "allMids"})
                found.append(answer.status_code)
        return found

    first = await statuses(3)
    assert first == await statuses(3)
    assert first != await statuses(4)
    assert {200, 429} < set(first)


async def test_a_half_open_connection_passes_nothing_and_stays_open(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, idle_s=0.2, **ACCOUNT) as (sandbox, address):
        async with connected(address) as dead, connected(address) as alive:
            sandbox.faults.arm("half-open", scope="market")
            await send(dead, "subscribe", type="trades", coin="BTC")
            await until(lambda: sandbox.faults.fired["half-open"] == 1)
            # Its messages are discarded, and neither the server nor the idle timeout closes it.
            await send_post(dead, 1, "action", bid())
            await dead.send_message('{"method":"ping"}')
            assert (await receive_until(dead, "subscriptionResponse"))["method"] == "subscribe"
            with trio.move_on_after(0.5) as scope:
                await dead.get_message()
            assert scope.cancelled_caught
            with pytest.raises(ConnectionClosed):
                await alive.get_message()
            assert sandbox.connections == 1
            assert await open_orders(address) == 0
            with trio.move_on_after(0.1):  # its close frame is not answered
                await dead.aclose()
        await until(lambda: sandbox.connections == 0)


async def test_a_silent_channel_still_answers_pings_and_sends_the_rest(paced_clock: Clock) -> None:
    tape = tape_of([quote(0, 841430, 841440), *(trade(i * 20, 841440) for i in range(200))])
    async with pacing(), running(tape) as (sandbox, address), connected(address) as socket:
        sandbox.faults.arm("silent", scope="market")
        await send(socket, "subscribe", type="trades", coin="BTC")
        await send(socket, "subscribe", type="bbo", coin="BTC")
        await send(socket, "subscribe", type="candle", coin="BTC", interval="1m")
        channels = set()
        for _ in range(8):
            await socket.send_message('{"method":"ping"}')
            channels.add(json.loads(await socket.get_message())["channel"])
            await trio.sleep(0.1)
        assert "pong" in channels
        assert "trades" not in channels
        assert sandbox.faults.fired == {"silent": 1}
        # A new connection gets all channels.
        async with connected(address) as again:
            await send(again, "subscribe", type="trades", coin="BTC")
            assert await receive_until(again, "trades")

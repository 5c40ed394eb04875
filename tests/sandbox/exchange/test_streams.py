"""The exchange over real sockets: `/exchange`, posts, and the channels of an account."""

from __future__ import annotations

import json
from typing import Any

import trio
from trio.abc import Clock
from trio_websocket import WebSocketConnection

from adapters.exchange.tape import Tape
from tests.pacing import pacing
from tests.sandbox.exchange.kit import (
    ALICE,
    ALICE_KEY,
    BOB,
    IOC,
    START_MS,
    STRANGER_KEY,
    address_of,
    orders,
    post,
    signed,
    wire,
)
from tests.sandbox.kit import ask, connected, quote, receive, receive_until, running, send, tape_of, until

OPENING = [quote(0, 841_430, 841_440, size=100_000)]
ACCOUNTS = ((ALICE, "100000"), (BOB, "100000"))
BUY_ONE = orders(wire("84200", "0.1", kind=IOC))


def tape() -> Tape:
    return tape_of(OPENING)


async def acknowledged(socket: WebSocketConnection, kind: str, **more: Any) -> dict[str, Any]:
    """Subscribe and return the subscription from the acknowledgement, which must be the first frame."""
    await send(socket, "subscribe", type=kind, **more)
    frame = await receive(socket)
    assert frame["channel"] == "subscriptionResponse", frame
    subscription: dict[str, Any] = frame["data"]["subscription"]
    return subscription


async def test_an_order_over_http_is_answered_and_reported_on_every_channel_of_its_account(
    paced_clock: Clock,
) -> None:
    async with (
        pacing(),
        running(tape(), accounts=ACCOUNTS) as (_, address),
        connected(address) as socket,
        connected(address) as other,
    ):
        for kind in ("orderUpdates", "userEvents", "userFills"):
            assert (await acknowledged(socket, kind, user=ALICE))["user"] == ALICE
        assert await receive(socket) == {
            "channel": "userFills",
            "data": {"isSnapshot": True, "user": ALICE, "fills": []},
        }
        await acknowledged(other, "userFills", user=BOB)
        await receive(other)
        answer = await post(address, signed(BUY_ONE, START_MS))
        assert answer.status_code == 200
        (status,) = answer.json()["response"]["data"]["statuses"]
        assert status["filled"]["totalSz"] == "0.1"
        updates, fills, events = [await receive(socket) for _ in range(3)]
        assert updates["channel"] == "orderUpdates"
        assert [row["status"] for row in updates["data"]] == ["open", "filled"]
        assert fills["channel"] == "userFills"
        assert (fills["data"]["user"], "isSnapshot" in fills["data"]) == (ALICE, False)
        assert events == {"channel": "user", "data": {"fills": fills["data"]["fills"]}}
        with trio.move_on_after(0.1) as quiet:
            await receive(other)
        assert quiet.cancelled_caught


async def test_the_effects_of_a_posted_action_are_sent_before_its_answer(paced_clock: Clock) -> None:
    async with pacing(), running(tape(), accounts=ACCOUNTS) as (_, address), connected(address) as socket:
        await acknowledged(socket, "orderUpdates", user=ALICE)
        request = {"type": "action", "payload": signed(BUY_ONE, START_MS)}
        await socket.send_message(json.dumps({"method": "post", "id": 7, "request": request}))
        assert (await receive(socket))["channel"] == "orderUpdates"
        answer = await receive(socket)
        assert answer["channel"] == "post"
        assert answer["data"]["id"] == 7
        response = answer["data"]["response"]
        assert response["type"] == "action"
        assert response["payload"]["response"]["type"] == "order"


async def test_an_invalid_post_gets_an_error_with_status_and_text(paced_clock: Clock) -> None:
    async with pacing(), running(tape(), accounts=ACCOUNTS) as (_, address), connected(address) as socket:
        request = {"type": "action", "payload": {"action": {"type": "nope"}}}
        await socket.send_message(json.dumps({"method": "post", "id": 7, "request": request}))
        assert await receive(socket) == {
            "channel": "post",
            "data": {
                "id": 7,
                "response": {
                    "type": "error",
                    "payload": "422 Unprocessable Entity: "
                    "Failed to deserialize the JSON body into the target type",
                },
            },
        }


async def test_http_errors_for_invalid_bodies_and_200_for_refused_actions(paced_clock: Clock) -> None:
    async with pacing(), running(tape(), accounts=ACCOUNTS) as (_, address):
        answer = await post(address, {"action": {"type": "nope"}})
        assert (answer.status_code, answer.text) == (
            422,
            "Failed to deserialize the JSON body into the target type",
        )
        answer = await post(address, signed(BUY_ONE, START_MS, STRANGER_KEY))
        assert (answer.status_code, answer.json()) == (
            200,
            {
                "status": "err",
                "response": f"User or API Wallet {address_of(STRANGER_KEY)} does not exist.",
            },
        )


async def test_addresses_are_case_insensitive_and_acknowledged_in_lower_case(paced_clock: Clock) -> None:
    upper = "0x" + ALICE[2:].upper()
    async with (
        pacing(),
        running(tape(), accounts=((upper, "100000"),)) as (_, address),
        connected(address) as socket,
    ):
        subscription = await acknowledged(socket, "userFills", user=upper)
        assert subscription == {"type": "userFills", "user": ALICE, "aggregateByTime": False}
        await receive(socket)
        await send(socket, "subscribe", type="userFills", user=ALICE)
        refusal = await receive(socket)
        assert refusal["channel"] == "error"
        assert refusal["data"].startswith("Already subscribed: ")
        state = await ask(address, {"type": "clearinghouseState", "user": upper})
        assert state["withdrawable"] == "100000.0"


async def test_an_invalid_address_is_an_error_and_the_socket_stays_open(paced_clock: Clock) -> None:
    async with pacing(), running(tape()) as (_, address), connected(address) as socket:
        await send(socket, "subscribe", type="userFills", user="0x12")
        frame = await receive(socket)
        assert frame["channel"] == "error"
        assert frame["data"].startswith("Error parsing JSON into valid websocket request: ")
        await socket.send_message('{"method":"ping"}')
        assert await receive(socket) == {"channel": "pong"}


async def test_full_states_are_sent_at_once_and_then_periodically(paced_clock: Clock) -> None:
    async with (
        pacing(),
        running(tape(), accounts=ACCOUNTS, speed=100) as (_, address),
        connected(address) as socket,
    ):
        for kind in ("clearinghouseState", "openOrders", "spotState"):
            await acknowledged(socket, kind, user=ALICE)
            first = await receive(socket)
            assert (first["channel"], first["data"]["user"]) == (kind, ALICE)
        await acknowledged(socket, "activeAssetData", user=ALICE, coin="BTC")
        assert (await receive_until(socket, "activeAssetData"))["leverage"] == {"type": "cross", "value": 20}
        await post(address, signed(orders(wire("84000", "0.1")), START_MS))
        while True:
            data = await receive_until(socket, "openOrders")
            if data["orders"]:
                break
        assert [row["limitPx"] for row in data["orders"]] == ["84000.0"]


async def test_n20_every_subscription_gets_a_snapshot_of_the_fills(paced_clock: Clock) -> None:
    async with pacing(), running(tape(), accounts=ACCOUNTS) as (_, address):
        for nonce in range(3):
            await post(address, signed(BUY_ONE, START_MS + nonce))
        for _ in range(2):
            async with connected(address) as socket:
                await acknowledged(socket, "userFills", user=ALICE)
                snapshot = (await receive(socket))["data"]
                assert snapshot["isSnapshot"]
                times = [fill["time"] for fill in snapshot["fills"]]
                assert times == sorted(times, reverse=True)
                assert len(times) == 3


async def test_order_status_accepts_both_ids_and_shows_the_original_size(paced_clock: Clock) -> None:
    cloid = "0x" + "ab" * 16
    async with pacing(), running(tape(), accounts=ACCOUNTS) as (_, address):
        status = {"type": "orderStatus", "user": ALICE}
        assert await ask(address, {**status, "oid": 1}) == {"status": "unknownOid"}
        assert await ask(address, {**status, "oid": cloid}) == {"status": "unknownOid"}
        answer = await post(address, signed(orders(wire("84144", "1.5", cloid=cloid)), START_MS, ALICE_KEY))
        oid = answer.json()["response"]["data"]["statuses"][0]["resting"]["oid"]
        found = await ask(address, {**status, "oid": oid})
        assert found == await ask(address, {**status, "oid": cloid.upper().replace("X", "x")})
        assert found["status"] == "order"
        assert (found["order"]["status"], found["order"]["order"]["sz"]) == ("open", "1.5")
        (listed,) = await ask(address, {"type": "openOrders", "user": ALICE})
        assert (listed["sz"], listed["origSz"]) == ("0.5", "1.5")
        cancel = {"type": "cancel", "cancels": [{"a": 0, "o": oid}]}
        await post(address, signed(cancel, START_MS + 1))
        found = await ask(address, {**status, "oid": oid})
        assert (found["order"]["status"], found["order"]["order"]["sz"]) == ("canceled", "0.5")


async def test_at_most_ten_users_are_tracked_until_a_connection_closes(paced_clock: Clock) -> None:
    async with pacing(), running(tape(), accounts=ACCOUNTS) as (sandbox, address):
        async with connected(address) as socket:
            for number in range(10):
                await acknowledged(socket, "orderUpdates", user=f"0x{number:040x}")
            await send(socket, "subscribe", type="orderUpdates", user=ALICE)
            assert await receive(socket) == {
                "channel": "error",
                "data": "Cannot track more than 10 total users.",
            }
            await acknowledged(socket, "userEvents", user=f"0x{9:040x}")
        await until(lambda: not sandbox.connections)
        async with connected(address) as socket:
            await acknowledged(socket, "orderUpdates", user=ALICE)

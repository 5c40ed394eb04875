"""Connections: how they end and when they are refused. Also the sandbox as a process."""

from __future__ import annotations

import json
import os
import signal
import socket as sockets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
import wsproto
from trio.abc import Clock
from trio_websocket import ConnectionClosed
from wsproto import events as ws_events

from adapters.exchange.run import run_exchanges
from adapters.sandbox.server import Sandbox, SandboxOptions, serve
from engine.errors import SafetyRefusal, UsageError
from tests.loopback import http_client
from tests.pacing import pacing

from .kit import (
    BTC,
    PATIENCE_S,
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

TAPE = tape_of([quote(0, 841430, 841440), *(trade(i, 841440) for i in range(40))])


def subscribe(**subscription: Any) -> str:
    return json.dumps({"method": "subscribe", "subscription": subscription})


@pytest.mark.parametrize(
    "subscription",
    [
        {"type": "trades", "coin": "NOPE"},
        {"type": "trades", "coin": "btc"},
        {"type": "bbo", "coin": "NOPE"},
        {"type": "candle", "coin": "NOPE", "interval": "1m"},
        {"type": "activeAssetCtx", "coin": "NOPE"},
        {"type": "l2Book", "coin": "NOPE"},
        {"type": "l2Book", "coin": "BTC", "nSigFigs": 6},
        {"type": "l2Book", "coin": "BTC", "nSigFigs": 4, "mantissa": 2},
        {"type": "l2Book", "coin": "BTC", "mantissa": 2},
        {"type": "allMids", "dex": "nope"},
    ],
)
async def test_an_unknown_instrument_closes_the_socket_without_a_close_frame(
    paced_clock: Clock,
    subscription: dict[str, Any],
) -> None:
    async with pacing(), running(TAPE) as (_, address):
        seen, was_reset = await raw_session(address, subscribe(**subscription))
        assert was_reset
        assert [type(event) for event in seen] == [ws_events.AcceptConnection]


async def test_compression_is_never_negotiated(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE) as (_, address):
        seen, _ = await raw_session(address, subscribe(type="trades", coin="NOPE"))
        assert seen[0].extensions == []


async def test_clients_see_close_code_1006(paced_clock: Clock) -> None:
    async with (
        pacing(),
        running(TAPE) as (sandbox, address),
        connected(address) as one,
        connected(address) as two,
    ):
        await send(one, "subscribe", type="trades", coin="nope")
        with pytest.raises(ConnectionClosed) as closed:
            await receive(one)
        assert closed.value.reason.code == 1006
        # The other connection is not affected.
        await two.send_message('{"method":"ping"}')
        assert await receive(two) == {"channel": "pong"}
        assert sandbox.connections == 1


async def test_an_idle_connection_is_cut(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, idle_s=0.3) as (_, address):
        began = trio.current_time()
        seen, was_reset = await raw_session(address)
        assert 0.29 < trio.current_time() - began < 2
        assert was_reset
        assert not any(isinstance(event, ws_events.CloseConnection) for event in seen)


async def test_a_pong_keeps_a_connection_alive(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, idle_s=0.3) as (_, address), connected(address) as socket:
        for _ in range(6):
            await trio.sleep(0.1)
            await socket.send_message('{"method":"ping"}')
            assert await receive(socket) == {"channel": "pong"}


async def test_a_client_that_does_not_read_is_cut_and_others_continue(paced_clock: Clock) -> None:
    options = {"clock": "tape", "speed": 2000.0, "queue_max": 64}
    async with pacing(), running(None, **options) as (sandbox, address), connected(address) as good:
        await send(good, "subscribe", type="allMids")
        port = int(address.base_url.rsplit(":", 1)[1])
        client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        async with await trio.open_tcp_stream("127.0.0.1", port) as slow:
            slow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
            await slow.send_all(client.send(ws_events.Request(host="127.0.0.1", target="/ws")))
            client.receive_data(await slow.receive_some())
            assert isinstance(next(client.events()), ws_events.AcceptConnection)
            for coin in ("BTC", "ETH"):
                text = subscribe(type="trades", coin=coin)
                await slow.send_all(client.send(ws_events.TextMessage(text)))
            while sandbox.connections < 2:
                await receive_until(good, "allMids")
            while sandbox.connections == 2:
                await receive_until(good, "allMids")
        assert len(await receive_until(good, "allMids")) > 0


async def test_invalid_data_ends_only_its_own_connection(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE) as (_, address), connected(address) as good:
        port = int(address.base_url.rsplit(":", 1)[1])
        for data in (
            b"\x00\xff" * 500,
            b"GET /ws HTTP/1.1\r\n\r\n",
            b"POST /info HTTP/1.1\r\nContent-Length: 9\r\n",
        ):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(data)
        async with connected(address) as bad:
            await bad._stream.send_all(b"\xff\xff\xff\xff broken frame")
            with pytest.raises(ConnectionClosed):
                await receive(bad)
        await good.send_message('{"method":"ping"}')
        assert await receive(good) == {"channel": "pong"}


async def test_clients_can_reconnect_after_all_connections_were_dropped(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE) as (sandbox, address):
        async with connected(address) as one, connected(address) as two:
            await until(lambda: sandbox.connections == 2)
            sandbox.drop_connections()
            for socket in (one, two):
                with pytest.raises(ConnectionClosed):
                    await receive(socket)
        async with connected(address) as again:
            await send(again, "subscribe", type="trades", coin="BTC")
            await receive_until(again, "trades")


async def test_drop_every_cuts_connections_at_random(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, drop_every_s=0.1) as (_, address), connected(address) as socket:
        with pytest.raises(ConnectionClosed):
            await receive(socket)


async def test_limits_on_connections_and_subscriptions_are_enforced(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE, connections_max=2, subscriptions_max=3) as (sandbox, address):
        async with connected(address) as one, connected(address) as two:
            await until(lambda: sandbox.connections == 2)
            seen, _ = await raw_session(address)
            assert isinstance(seen[0], ws_events.RejectConnection)
            assert seen[0].status_code == 429
            for socket, kind in ((one, "trades"), (one, "bbo"), (two, "trades"), (two, "bbo")):
                await send(socket, "subscribe", type=kind, coin="BTC")
            assert "3 total subscriptions" in await receive_until(two, "error")
            await send(one, "unsubscribe", type="bbo", coin="BTC")
            while (await receive_until(one, "subscriptionResponse"))["method"] != "unsubscribe":
                pass
            await send(two, "subscribe", type="bbo", coin="BTC")
            assert await receive_until(two, "bbo")
        await until(lambda: not sandbox.connections)
        async with connected(address) as socket:
            await send(socket, "subscribe", type="trades", coin="BTC")
            await receive_until(socket, "trades")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.com", ""])
def test_only_loopback_addresses_are_bound(host: str) -> None:
    with pytest.raises(SafetyRefusal, match="loopback"):
        Sandbox(SandboxOptions(host=host))


async def test_it_serves_on_ipv6_loopback() -> None:
    if not sockets.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        sandbox = Sandbox(SandboxOptions(host="::1", port=0), TAPE)
        async with trio.open_nursery() as nursery:
            address = await nursery.start(sandbox.serve)
            async with http_client() as client:
                response = await client.post(address.base_url + "/info", json={"type": "meta"})
            assert response.json()["universe"][0]["name"] == BTC.name
            nursery.cancel_scope.cancel()
    except UsageError:
        pytest.skip("no IPv6 loopback here")


async def test_a_port_in_use_is_reported(paced_clock: Clock) -> None:
    async with pacing(), running(TAPE) as (_, address):
        port = int(address.base_url.rsplit(":", 1)[1])
        with pytest.raises(UsageError, match=rf"port {port} .* is in use; choose another with --port"):
            await serve(SandboxOptions(port=port))


@pytest.mark.parametrize(
    "options",
    [
        {"speed": 0.0},
        {"speed": -1.0},
        {"speed": float("nan")},
        {"speed": float("inf")},
        {"port": 70_000},
        {"clock": "later"},
        {"history_s": -1.0},
        {"drop_every_s": float("nan")},
        {"instruments": ("NOPE",)},
    ],
)
def test_invalid_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Sandbox(SandboxOptions(**options))


PROGRAM = (
    "from adapters.exchange.run import run_exchanges; "
    "from adapters.sandbox.server import Sandbox, SandboxOptions; options = SandboxOptions(port=0); "
    "run_exchanges({'hyperliquid': Sandbox(options)}, options, as_json=True, until_eof=True)"
)


@contextmanager
def process() -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run a sandbox as a process; yield it and the address that it printed."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as run:
        try:
            assert run.stdout is not None
            yield run, json.loads(run.stdout.readline())
        finally:
            run.kill()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, "eof"])
def test_the_process_stops_at_once_without_output(how: Any) -> None:
    with process() as (run, address):
        port = int(address["base_url"].rsplit(":", 1)[1])
        with sockets.create_connection(("127.0.0.1", port)):
            if how == "eof":
                assert run.stdin is not None
                run.stdin.close()
                run.stdin = None
            else:
                os.kill(run.pid, how)
            # It does not wait for the client, who is still there.
            out, err = run.communicate(timeout=PATIENCE_S)
        assert (run.returncode, out, err) == (0, "", "")
        assert address["ws_url"] == f"ws://127.0.0.1:{port}/ws"


def test_the_process_reports_a_port_in_use_as_a_usage_error() -> None:
    with sockets.create_server(("127.0.0.1", 0)) as taken:
        options = SandboxOptions(port=taken.getsockname()[1])
        with pytest.raises(UsageError, match="in use"):
            run_exchanges({"hyperliquid": Sandbox(options)}, options)

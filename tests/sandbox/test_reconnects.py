"""Many reconnects leave no tasks, files or objects behind in the sandbox."""

from __future__ import annotations

import contextlib
import gc
import json
import socket as sockets
import struct
from pathlib import Path

import trio
import wsproto
from wsproto import events as ws_events

from adapters.exchange.connection import TcpConnection, WebsocketPeer
from adapters.exchange.sender import FrameSender
from adapters.sandbox.server import SandboxAddress
from tests.loopback import http_client
from tests.profiles import pick

from .exchange.kit import ALICE
from .kit import running, until

FDS = Path("/proc/self/fd")
CLIENTS = 8
ROUNDS = pick(30, deep=120)
HALF_OPEN = 40
ENDINGS = ("reset", "eof", "close", "unknown instrument")


def subscribe(**subscription: object) -> str:
    return json.dumps({"method": "subscribe", "subscription": subscription})


SUBSCRIPTIONS = (
    subscribe(type="trades", coin="BTC"),
    subscribe(type="candle", coin="BTC", interval="1m"),
    subscribe(type="l2Book", coin="BTC", fast=True),
    subscribe(type="userFills", user=ALICE),
)


async def reconnect(address: SandboxAddress, ending: str) -> None:
    """Connect, subscribe, receive a frame, and disconnect in the given way."""
    client = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    async with await trio.open_tcp_stream("127.0.0.1", int(address.base_url.rsplit(":", 1)[1])) as stream:

        async def receive(kind: type[ws_events.Event]) -> None:
            while True:
                client.receive_data(await stream.receive_some())
                if any(isinstance(event, kind) for event in client.events()):
                    return

        await stream.send_all(client.send(ws_events.Request(host="127.0.0.1", target="/ws")))
        await receive(ws_events.AcceptConnection)
        texts = b"".join(client.send(ws_events.TextMessage(text)) for text in SUBSCRIPTIONS)
        await stream.send_all(texts)
        await receive(ws_events.TextMessage)
        if ending == "reset":
            stream.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        elif ending == "close":
            await stream.send_all(client.send(ws_events.CloseConnection(1000)))
            await receive(ws_events.CloseConnection)
        elif ending == "unknown instrument":
            await stream.send_all(client.send(ws_events.TextMessage(subscribe(type="bbo", coin="NOPE"))))
            with contextlib.suppress(trio.BrokenResourceError):
                while await stream.receive_some():
                    pass


def resources() -> dict[str, int]:
    """Count the tasks, file descriptors and objects that belong to connections."""
    gc.collect()
    tasks = trio.lowlevel.current_statistics().tasks_living
    kinds = TcpConnection, WebsocketPeer, FrameSender
    living = [type(thing).__name__ for thing in gc.get_objects() if type(thing) in kinds]
    fds = len(list(FDS.iterdir())) if FDS.is_dir() else 0
    return {"tasks": tasks, "fds": fds, **{kind.__name__: living.count(kind.__name__) for kind in kinds}}


async def settled() -> dict[str, int]:
    """Count once nothing of the ended connections is on its way out any more."""
    before, now = {}, resources()
    while before != now:
        await trio.sleep(0.1)
        before, now = now, resources()
    return now


async def test_n20_reconnects_leave_the_sandbox_as_it_was() -> None:
    options = {"rate_limit": False, "accounts": ((ALICE, "1000"),), "instruments": ("BTC",), "speed": 5.0}
    async with running(None, patience_s=60, **options) as (sandbox, address):

        async def one(number: int) -> None:
            for round_ in range(ROUNDS):
                await reconnect(address, ENDINGS[(number + round_) % len(ENDINGS)])

        for ending in ENDINGS:
            await reconnect(address, ending)
        await until(lambda: not sandbox.connections)
        before = await settled()
        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(one, number)
        for _ in range(HALF_OPEN):
            sandbox.faults.arm("half-open")
            await reconnect(address, "eof")
        async with http_client() as client:
            assert (await client.post(address.base_url + "/info", json={"type": "meta"})).status_code == 200
        await until(lambda: not sandbox.connections)
        await until(lambda: resources() == before)
        assert sandbox.subscriptions == 0
        assert sandbox.faults.fired == {"half-open": HALF_OPEN}

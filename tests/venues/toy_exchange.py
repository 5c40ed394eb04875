"""The toy venue's exchange: trades that are a function of time, over a websocket on this machine.

Trade `n` is executed at n * 50 ms; its price swings, so that averages cross. All trades of the past can be
read as candles. Run as a process: prints its address, stops when standard input ends.
"""

from __future__ import annotations

import json
import os
import time

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

EVERY_MS = 50
INSTRUMENTS = {"AAA": (2, 3), "BBB": (1, 2)}


def price_of(name: str, number: int) -> int:
    """Return the price of a trade in ticks: up for four seconds, down for four."""
    place = (number + 17 * len(name) * (name == "BBB")) % 160
    return 10_000 + 3 * min(place, 160 - place)


def text(value: int, decimals: int) -> str:
    return f"{value // 10**decimals}.{value % 10**decimals:0{decimals}d}"


def candles(name: str, every: int, start: int, end: int) -> list[list[object]]:
    """Return candles of whole windows, all times in ms."""
    price_scale, size_scale = INSTRUMENTS[name]
    rows: list[list[object]] = []
    for begin in range(start, min(end, start + 5000 * every), every):
        numbers = range(-(-begin // EVERY_MS), -(-(begin + every) // EVERY_MS))
        prices = [price_of(name, number) for number in numbers]
        if prices:
            shown = [text(one, price_scale) for one in (prices[0], max(prices), min(prices), prices[-1])]
            rows.append([begin, *shown, text(sum(1 + n % 7 for n in numbers), size_scale), len(prices)])
    return rows


async def serve(request: WebSocketRequest) -> None:
    socket = await request.accept()
    try:
        while True:
            question = json.loads(await socket.get_message())
            if question["do"] == "list":
                listed = [[name, *scales] for name, scales in INSTRUMENTS.items()]
                await socket.send_message(json.dumps({"now": time.time_ns() // 1_000_000, "list": listed}))
            elif question["do"] == "candles":
                rows = candles(question["name"], question["every"], question["from"], question["to"])
                await socket.send_message(json.dumps({"candles": rows}))
            else:
                await socket.send_message(json.dumps({"watching": len(question["names"])}))
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(play, socket.send_message, question["names"])
                    await socket.get_message()  # nothing more is asked here; ends with the connection
    except ConnectionClosed:
        return
    except BaseExceptionGroup as group:
        if group.split(ConnectionClosed)[1] is not None:
            raise


async def play(send: object, names: list[str]) -> None:
    """Send every trade when it is due, and the quote after it."""
    assert callable(send)
    number = time.time_ns() // 1_000_000 // EVERY_MS + 1
    while True:
        await trio.sleep(max(0.0, number * EVERY_MS / 1000 - time.time()))
        for name in names:
            price_scale, size_scale = INSTRUMENTS[name]
            price, ms = price_of(name, number), number * EVERY_MS
            side = "buy" if price >= price_of(name, number - 1) else "sell"
            trade = [name, number, ms, text(price, price_scale), text(1 + number % 7, size_scale), side]
            await send(json.dumps({"trade": trade}))
            bid, ask = text(price - 1, price_scale), text(price + 1, price_scale)
            await send(
                json.dumps({"quote": [name, ms, bid, text(500, size_scale), ask, text(500, size_scale)]})
            )
        number += 1


async def main() -> None:
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, serve, "127.0.0.1", 0, None)
        print(f"ws://127.0.0.1:{server.port}", flush=True)
        while await trio.to_thread.run_sync(os.read, 0, 100, abandon_on_cancel=True):
            pass
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)

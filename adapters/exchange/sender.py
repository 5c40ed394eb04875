"""Sends queued frames to one websocket client and applies frame faults to them.

Keeps the connection's fault state: silenced channels, and reordered frames that are held back. Without
faults, frames are sent in queue order. A frame is held back for at most nine later frames and no longer than
its fault specifies. The server runs one `FrameSender` per websocket until it is cancelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import trio
from starlette.websockets import WebSocket

from adapters.exchange.connection import TcpConnection
from adapters.exchange.faults import Faults

__all__ = ["FrameSender"]


class _Held(msgspec.Struct):
    """A reordered frame: sent after `behind` more frames, or at `until` (trio's time)."""

    text: str
    behind: int
    until: float


class FrameSender:
    """Sends one client's frames.

    `restart` is called with the milliseconds for which the server is down; `channel` returns the channel of a
    frame and its scope.
    """

    def __init__(
        self,
        websocket: WebSocket,
        frames: trio.MemoryReceiveChannel[str],
        tcp: TcpConnection,
        faults: Faults,
        restart: Callable[[int], None],
        channel: Callable[[str], tuple[str, str]],
    ) -> None:
        self._websocket = websocket
        self._frames = frames
        self._tcp = tcp
        self._faults = faults
        self._restart = restart
        self._channel = channel
        self._mute: set[str] = set()
        self._held: list[_Held] = []

    async def run(self) -> None:
        """Send frames until cancelled."""
        while True:
            text = None
            with trio.move_on_at(min((one.until for one in self._held), default=math.inf)):
                text = await self._frames.receive()
            if text is not None:
                for one in self._held:
                    one.behind -= 1
                await self._pass(text)
            await self._release()

    async def _pass(self, text: str) -> None:
        """Send a frame, or apply the fault that hits it."""
        channel, scope = self._channel(text)
        if channel in self._mute:
            return
        fault = self._faults.for_frame(scope) if scope else None
        match fault.kind if fault else "":
            case "drop":
                return
            case "silent":
                self._mute.add(channel)
                return
            case "half-open":
                self._tcp.go_half_open()
            case "cut":
                self._tcp.abort()
                return
            case "restart" if fault:
                self._restart(fault.ms)
                return
            case "delay" if fault:
                await trio.sleep(fault.ms / 1000)
            case "reorder" if fault:
                until = trio.current_time() + fault.ms / 1000
                self._held.append(_Held(text, self._faults.reorder_distance(), until))
                return
            case "damage":
                text = self._faults.damaged(text)
            case "duplicate":
                await self._send(text)
        await self._send(text)

    async def _release(self) -> None:
        """Send the held-back frames that are due."""
        now = trio.current_time()
        for one in list(self._held):
            if one.behind <= 0 or one.until <= now:
                self._held.remove(one)
                await self._send(one.text)

    async def _send(self, text: str) -> None:
        await self._websocket.send({"type": "websocket.send", "text": text})
        if not self._tcp.half_open:
            self._tcp.sent_at = trio.current_time()

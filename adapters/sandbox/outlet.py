"""Sends one client its frames, and does to them what the faults of frames say.

Owns what a faulty connection remembers: which channels are mute and which frames lost their place. Promises
the frames in the order of the queue where no fault fires; at most nine frames are held back, none for longer
than its fault says. Run by the server, one for each websocket, until it is cancelled.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import trio
from starlette.websockets import WebSocket

from adapters.sandbox.connection import Link
from adapters.sandbox.faults import Faults, channel_of, scope_of

__all__ = ["Outlet"]


class _Held(msgspec.Struct):
    """A frame that lost its place: sent after `behind` more frames, or at `until` (trio's time)."""

    text: str
    behind: int
    until: float


class Outlet:
    """One client's frames. `restart` is told for how many ms everything shall be away."""

    def __init__(
        self,
        websocket: WebSocket,
        frames: trio.MemoryReceiveChannel[str],
        link: Link,
        faults: Faults,
        restart: Callable[[int], None],
    ) -> None:
        self._websocket = websocket
        self._frames = frames
        self._link = link
        self._faults = faults
        self._restart = restart
        self._mute: set[str] = set()
        self._held: list[_Held] = []

    async def run(self) -> None:
        """Send until cancelled."""
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
        """Send a frame, unless a fault has it otherwise."""
        channel = channel_of(text)
        if channel in self._mute:
            return
        scope = scope_of(channel)
        fault = self._faults.of_frame(scope) if scope else None
        match fault.kind if fault else "":
            case "drop":
                return
            case "silent":
                self._mute.add(channel)
                return
            case "half-open":
                self._link.go_dead()
            case "cut":
                self._link.abort()
                return
            case "restart" if fault:
                self._restart(fault.ms)
                return
            case "delay" if fault:
                await trio.sleep(fault.ms / 1000)
            case "reorder" if fault:
                until = trio.current_time() + fault.ms / 1000
                self._held.append(_Held(text, self._faults.later(), until))
                return
            case "duplicate":
                await self._send(text)
        await self._send(text)

    async def _release(self) -> None:
        """Send what was held back long enough."""
        now = trio.current_time()
        for one in list(self._held):
            if one.behind <= 0 or one.until <= now:
                self._held.remove(one)
                await self._send(one.text)

    async def _send(self, text: str) -> None:
        await self._websocket.send({"type": "websocket.send", "text": text})
        if not self._link.dead:
            self._link.sent_at = trio.current_time()

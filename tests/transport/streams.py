"""Streams with the faults of networks. Each wraps a good stream at the client's end."""

from __future__ import annotations

import trio


class Bent(trio.abc.Stream):
    """Passes everything on."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()


class Counted(Bent):
    """Counts what was received."""

    received = 0

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await super().receive_some(max_bytes)
        self.received += len(data)
        return data


class Cut(Bent):
    """Ends after so many received bytes: with a reset, or with a plain end of stream."""

    def __init__(self, stream: trio.abc.Stream, after: int, *, reset: bool) -> None:
        super().__init__(stream)
        self._left = after
        self._reset = reset

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if not self._left:
            await trio.lowlevel.checkpoint()
            if self._reset:
                raise trio.BrokenResourceError
            return b""
        data = await super().receive_some(min(self._left, max_bytes or self._left))
        self._left -= len(data)
        return data


class Sliced(Bent):
    """Receives one byte at a time."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await super().receive_some(1)


class BlackHole(Bent):
    """After `dead`, nothing arrives and sent data is lost; `full` blocks the sender instead."""

    def __init__(self, stream: trio.abc.Stream, dead: trio.Event, *, full: bool = False) -> None:
        super().__init__(stream)
        self._dead = dead
        self._full = full

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if not self._dead.is_set():
            await super().send_all(data)
        elif self._full:
            await trio.sleep_forever()
        else:
            await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await super().receive_some(max_bytes)
        if self._dead.is_set():
            await trio.sleep_forever()
        return data


class Stalled(Bent):
    """Passes nothing on while `flows` is not set; what was sent meanwhile follows then, in order."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        super().__init__(stream)
        self.flows = trio.Event()
        self.flows.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await super().receive_some(max_bytes)
        await self.flows.wait()
        return data

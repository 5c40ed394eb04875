"""A relay in front of a server that cuts connections after a number of bytes, as a bad network does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

__all__ = ["Relay", "relay_to"]


class Relay:
    """Passes bytes on both ways. With `left` set, that many bytes more are passed, then all is cut."""

    def __init__(self, port: int) -> None:
        self.left: int | None = None
        self.cuts = 0
        self._to = port
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:  # the server is down
                    near.close()
                    continue
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with closing(other), suppress(OSError):
            while data := one.recv(4096):
                with self._lock:
                    allowed = len(data) if self.left is None else min(len(data), self.left)
                    if self.left is not None:
                        self.left -= allowed
                if allowed:
                    other.sendall(data[:allowed])
                if allowed < len(data):
                    self.cuts += 1
                    break
            for end in (one, other):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    """Run a relay to a port of loopback."""
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.close()

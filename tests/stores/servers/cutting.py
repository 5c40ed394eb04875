"""A relay in front of a server that cuts connections and swallows bytes, as a bad network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

__all__ = ["Relay", "relay_to"]


class Relay:
    """Passes bytes on both ways, from its port (`own`, by default any free one) to the server's.

    With `left` set, that many bytes more are passed, then the connection that has them is cut. `swallows`:
    what the server answers is lost, without an error.
    """

    def __init__(self, port: int, own: int = 0) -> None:
        self.left: int | None = None
        self.swallows = False
        self.cuts = 0
        self._to = port
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", own))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection at once."""
        with self._lock:
            found, self._open = self._open, []
        self.cuts += 1
        for one in found:
            _end(one)

    def close(self) -> None:
        """Stop."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:  # the server is down
                    near.close()
                    continue
                with self._lock:
                    self._open = [one for one in self._open if one.fileno() >= 0] + [near, far]
                for one, other, answers in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._pass, args=(one, other, answers), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(4096):
                if answers and self.swallows:
                    continue
                with self._lock:
                    allowed = len(data) if self.left is None else min(len(data), self.left)
                    if self.left is not None:
                        self.left -= allowed
                if allowed:
                    other.sendall(data[:allowed])
                if allowed < len(data):
                    self.cuts += 1
                    break
        _end(one)
        _end(other)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextlib.contextmanager
def relay_to(port: int, own: int = 0) -> Iterator[Relay]:
    """Run a relay to a port of loopback."""
    relay = Relay(port, own)
    try:
        yield relay
    finally:
        relay.close()

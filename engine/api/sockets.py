"""The sockets of the operator's interface: `engine.sock` in the journal's folder, and TCP when asked.

A Unix socket's address has room for about a hundred bytes only. A longer path is reached through a short
link in a private folder, which is removed again at once. The socket is of mode 0600 before it accepts
anything. Whoever binds it holds the journal's lock, so a file that is there already was left by a process
that died. Used by the server, and by the command line to connect.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import msgspec
import trio

from engine.errors import EngineError, UsageError

__all__ = [
    "HOST_DEFAULT",
    "PORT_DEFAULT",
    "SOCKET_NAME",
    "Address",
    "UnixSocket",
    "check_socket_name",
    "connect_unix",
    "listen_tcp",
    "listener_of",
    "local_address",
    "parse_address",
    "short_path",
]

SOCKET_NAME: Final = "engine.sock"
HOST_DEFAULT: Final = "127.0.0.1"
PORT_DEFAULT: Final = 8710

_PATH_BYTES_MAX: Final = 100
"""Linux allows 107 bytes, macOS 103."""
_BACKLOG: Final = 64
_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]*))(?::([0-9]{1,5}))?")


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield a path to the same file that a socket's address can hold. It is valid within the block only."""
    text = os.fspath(path.absolute())
    if len(os.fsencode(text)) <= _PATH_BYTES_MAX:
        yield text
        return
    folder = Path(tempfile.mkdtemp(prefix="retape-", dir=_short_folder()))
    link = folder / "j"
    try:
        link.symlink_to(path.absolute().parent)
        yield os.fspath(link / path.name)
    finally:
        with contextlib.suppress(OSError):
            link.unlink()
        with contextlib.suppress(OSError):
            folder.rmdir()


def _short_folder() -> str | None:
    """Return the folder for short links: the usual one, unless it is itself too long."""
    usual = tempfile.gettempdir()
    return usual if len(os.fsencode(usual)) < _PATH_BYTES_MAX - 40 else "/tmp"


def check_socket_name(root: Path) -> None:
    """Check that no other kind of file has the name of the socket. Raises UsageError."""
    path = root / SOCKET_NAME
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UsageError(f"{path}: is not a socket; move this file away, the engine needs its name")


class UnixSocket:
    """The bound socket of a journal. The caller holds the journal's lock. `close` removes the file."""

    def __init__(self, root: Path) -> None:
        """Bind. Raises EngineError where no socket can be, and for a file there that is not a socket."""
        self.path = root / SOCKET_NAME
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | _CLOEXEC)
        try:
            self._remove_left()
            with short_path(self.path) as short:
                self._socket.bind(short)
            # Nothing can connect before `listen`, so there is no moment with a wider mode.
            self.path.chmod(0o600)
            self._file = self._identity()
            self._socket.listen(_BACKLOG)
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            reason = error.strerror or error
            raise EngineError(f"{self.path}: the operator's socket cannot be made: {reason}") from error
        except EngineError:
            self._socket.close()
            raise

    def listener(self) -> trio.SocketListener:
        """Return a listener on the socket."""
        return listener_of(self._socket)

    def close(self) -> None:
        """Close the socket, and remove its file if it is still this one."""
        self._socket.close()
        with contextlib.suppress(OSError):
            if self._identity() == self._file:
                self.path.unlink()

    def _remove_left(self) -> None:
        check_socket_name(self.path.parent)
        self.path.unlink(missing_ok=True)

    def _identity(self) -> tuple[int, int]:
        found = self.path.lstat()
        return found.st_dev, found.st_ino


_CLOEXEC: Final = getattr(socket, "SOCK_CLOEXEC", 0)


def connect_unix(root: Path) -> socket.socket:
    """Return a connection to the engine of a journal, blocking. Raises OSError when none is there."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | _CLOEXEC)
    try:
        with short_path(root / SOCKET_NAME) as short:
            connection.connect(short)
    except OSError:
        connection.close()
        raise
    return connection


class Address(msgspec.Struct, frozen=True):
    """A host, as an IP address, and a port; 0 is any free port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address of `[HOST][:PORT]`; the host is an IP address or localhost. Raises UsageError."""
    match = _ADDRESS.fullmatch(f":{text}" if text.isdecimal() else text)
    host = match[1] or match[2] if match else text
    port = match[3] if match else None
    host = {"": HOST_DEFAULT, "localhost": HOST_DEFAULT}.get(host.lower(), host)
    try:
        ip = ip_address(host)
        number = PORT_DEFAULT if port is None else int(port)
    except ValueError:
        ip, number = None, -1
    if match is None or ip is None or getattr(ip, "scope_id", None) or not 0 <= number < 1 << 16:
        raise UsageError(
            f"--dashboard {text!r}: write it as HOST:PORT, such as {HOST_DEFAULT}:{PORT_DEFAULT} or :0; the "
            "host is an IP address or localhost"
        )
    return Address(str(ip), number)


def listen_tcp(address: Address) -> socket.socket:
    """Return a listening socket. Raises UsageError when the port is in use or may not be opened."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM | _CLOEXEC)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address.host, address.port))
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        in_use = error.errno == errno.EADDRINUSE
        reason = "is in use" if in_use else f"cannot be opened ({error.strerror or error})"
        raise UsageError(
            f"--dashboard {address}: the port {reason}; give another, or :0 for any free one"
        ) from error
    return listening


def local_address(listening: socket.socket) -> Address:
    """Return the address of a listening socket, with its port."""
    host, port = listening.getsockname()[:2]
    return Address(host, port)


def listener_of(listening: socket.socket) -> trio.SocketListener:
    """Return a listener on a duplicate of a socket: whoever serves on it closes it, and may serve again."""
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening.dup()))

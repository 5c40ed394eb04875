"""The socket in the journal's folder: its mode, long paths, what a dead process left, copies."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from engine.api.sockets import SOCKET_NAME, Address, UnixSocket, connect_unix, listen_tcp, parse_address
from engine.errors import EngineError, UsageError
from tests.api.kit import link_of, serving
from tests.commands.kit import FAST, as_json, days, engine, spawn, start, until


def links() -> set[str]:
    """Return the folders of short links that are left."""
    return {name for name in os.listdir(tempfile.gettempdir()) if name.startswith("retape-")}  # noqa: PTH208


def test_only_the_owner_may_connect(tmp_path: Path) -> None:
    made = UnixSocket(tmp_path)
    mode = (tmp_path / SOCKET_NAME).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    made.close()
    assert not (tmp_path / SOCKET_NAME).exists()


@pytest.mark.parametrize("length", [60, 92, 107, 108, 400])
async def test_a_path_of_any_length_works_and_leaves_no_link(tmp_path: Path, length: int) -> None:
    root = tmp_path
    while len(os.fspath(root / SOCKET_NAME)) < length:
        missing = length - len(os.fspath(root / SOCKET_NAME)) - 1
        root /= "n" * max(1, min(missing, 100))
    root.mkdir(parents=True, exist_ok=True)
    before = links()
    async with serving(root, tcp=False) as served:
        assert (await served.ask("/api/status", unix=True)).status == 200
    assert links() == before
    assert not (root / SOCKET_NAME).exists()


def test_a_socket_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    left = UnixSocket(tmp_path)
    left._socket.close()  # as the kernel does at SIGKILL: the file stays
    with pytest.raises(ConnectionRefusedError):
        connect_unix(tmp_path)
    second = UnixSocket(tmp_path)
    connect_unix(tmp_path).close()
    second.close()


def test_closing_does_not_remove_the_socket_of_another(tmp_path: Path) -> None:
    first = UnixSocket(tmp_path)
    (tmp_path / SOCKET_NAME).unlink()
    second = UnixSocket(tmp_path)
    first.close()
    connect_unix(tmp_path).close()
    second.close()


def test_a_file_of_that_name_that_is_no_socket_stays(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("mine", encoding="utf-8")
    with pytest.raises(EngineError, match="is not a socket; move this file away"):
        UnixSocket(tmp_path)
    assert (tmp_path / SOCKET_NAME).read_text(encoding="utf-8") == "mine"


def test_a_refused_second_engine_leaves_the_socket_of_the_first(tmp_path: Path) -> None:
    root, config = tmp_path / "journal", tmp_path / "fast.toml"
    config.write_text(FAST, encoding="utf-8")
    first = start("live", "--for", "60s", "--journal", root, "--config", config, "--json")
    try:
        until(lambda: (root / SOCKET_NAME).exists())
        second = spawn("live", "--for", "1s", "--journal", root, "--config", config)
        assert second.code == 6, second.err
        connect_unix(root).close()
        # A journal in use, with its socket, can be copied, and the copy checked.
        copy = tmp_path / "copy"
        done = subprocess.run(["cp", "-r", root, copy], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert engine("journal", "verify", copy).code == 0
    finally:
        first.kill()
        first.wait()
        assert first.stdout is not None
        first.stdout.close()
        if first.stderr is not None:
            first.stderr.close()
    assert stat.S_ISSOCK((root / SOCKET_NAME).stat().st_mode), "SIGKILL leaves the file"
    assert as_json(engine("replay", days(root)[-1], "--json"))["identical"]
    third = spawn("live", "--for", "1s", "--journal", root, "--config", config, "--dashboard", ":0")
    assert third.code == 0, third.err
    link = link_of(third.out)
    assert [line for line in third.out.splitlines() if "token=" in line] == [f"dashboard: {link}"]
    assert not (root / SOCKET_NAME).exists()


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8710", "127.0.0.1", 8710),
        (":0", "127.0.0.1", 0),
        ("9000", "127.0.0.1", 9000),
        ("localhost:9000", "127.0.0.1", 9000),
        ("LOCALHOST", "127.0.0.1", 8710),
        ("[::1]:9000", "::1", 9000),
        ("[::1]", "::1", 8710),
        ("0.0.0.0:80", "0.0.0.0", 80),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["x:y", "1.2.3.4:65536", "1.2.3.4:-1", "::1", "[::1", "fe80::1%eth0", "a.b.c", "[]:1"]
)
def test_a_wrong_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write it as HOST:PORT"):
        parse_address(text)


def test_a_port_in_use_is_refused_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--dashboard 127.0.0.1:{port}: the port is in use; give"):
            listen_tcp(Address("127.0.0.1", port))

"""`engine doctor`: whether this machine can run the engine, and how fast its disk syncs."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import click

from engine.api.sockets import SOCKET_NAME, UnixSocket, connect_unix
from engine.commands.output import json_option, print_json
from engine.errors import EngineError
from engine.events.codec import schema_fingerprint
from engine.floors import PACKAGES
from engine.journal import DISK
from engine.loading.fingerprint import code_fingerprint, version

__all__ = ["doctor_command"]

_PACKAGES = (
    "trio",
    "trio-websocket",
    "httpx",
    "msgspec",
    "sqlite-utils",
    "zstandard",
    "starlette",
    "hypercorn",
)
_FREE_MIN = 1024**3


@click.command("doctor")
@click.option(
    "--journal", "root", type=click.Path(path_type=Path), default=Path(), help="Folder of the journal to be."
)
@json_option
def doctor_command(root: Path, as_json: bool) -> None:
    """Check Python, packages, disk, loopback and the socket for commands; exit code 1 if one is wrong."""
    checks: list[tuple[str, bool, str]] = []
    checks.append(("python", sys.version_info >= (3, 11), sys.version.split()[0]))
    for name in _PACKAGES:
        try:
            checks.append((name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            checks.append((name, False, "missing: run `make test` or `pip install retape`"))
    place = next(one for one in (root, *root.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(place).free
    checks.append(("disk space", free > _FREE_MIN, f"{free / 1024**3:.1f} GiB free in {place.resolve()}"))
    try:
        sync_ms = _sync_ms(place)
        checks.append(("disk sync", sync_ms < 20, f"{sync_ms:.2f} ms (median of 50 appends of 4 KiB)"))
    except OSError as error:
        checks.append(("disk sync", False, f"{place} cannot be written: {error.strerror}"))
    try:
        with socket.create_server(("127.0.0.1", 0)):
            checks.append(("loopback", True, "can listen on 127.0.0.1"))
    except OSError as error:
        checks.append(("loopback", False, str(error)))
    checks.append(_check_socket(root, place))
    checks.append(_check_names(Path.cwd()))
    checks.append(("engine", True, f"{version()}, code {code_fingerprint()}, events {schema_fingerprint()}"))
    healthy = all(fine for _, fine, _ in checks)
    if as_json:
        print_json({"healthy": healthy, "checks": {n: {"ok": fine, "detail": d} for n, fine, d in checks}})
    else:
        for name, fine, detail in checks:
            click.echo(f"{'ok ' if fine else 'BAD'}  {name:15} {detail}")
    if not healthy:
        raise SystemExit(1)


def _place_of(package: str) -> Path:
    """Return the folder that a package of the engine is imported from."""
    (folder,) = importlib.import_module(package).__path__
    return Path(folder)


def _check_names(folder: Path) -> tuple[str, bool, str]:
    """Check that nothing in a folder is named like one of the engine's packages."""
    taken = [
        path.name
        for name in PACKAGES
        for path in (folder / name, folder / f"{name}.py")
        if path.exists() and not path.samefile(_place_of(name))
    ]
    if not taken:
        return "names", True, "no file here is named like a package of the engine"
    return "names", False, f"{', '.join(taken)} in {folder} hides the engine from your own scripts: rename it"


def _check_socket(root: Path, place: Path) -> tuple[str, bool, str]:
    """Check that commands can reach an engine: one that answers, or a socket that can be made."""
    path = root / SOCKET_NAME
    try:
        connect_unix(root).close()
        return "socket", True, f"an engine answers on {path}"
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        return "socket", True, f"{path} was left by an engine that was killed; the next start takes it over"
    except OSError as error:
        return "socket", False, f"{path} cannot be connected to: {error.strerror or error}"
    try:
        with tempfile.TemporaryDirectory(dir=place) as folder:
            UnixSocket(Path(folder)).close()
        return "socket", True, f"no engine runs there; {SOCKET_NAME} can be made in {place.resolve()}"
    except (OSError, EngineError) as error:
        return "socket", False, f"`engine ctl` and `engine status` will not work: {error}"


def _sync_ms(place: Path) -> float:
    """Return the median time in ms of an append with fdatasync, by the journal's disk functions."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        fd = DISK.create(Path(folder) / "probe")
        times = []
        for _ in range(50):
            began = time.perf_counter()
            DISK.write(fd, b"\0" * 4096)
            DISK.fdatasync(fd)
            times.append(time.perf_counter() - began)
        DISK.close(fd)
    return sorted(times)[len(times) // 2] * 1000

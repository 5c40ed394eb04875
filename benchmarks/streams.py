"""What ten readers of the stream cost a live session: its median latency with and without them.

Sessions at speed 1 on the sandbox alternate: without readers, with readers, and so on. The readers are a
process of their own, as browsers are. Run as a module with the folder of a journal it is that process.
"""

from __future__ import annotations

import json
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from engine.api.sockets import SOCKET_NAME, connect_unix

__all__ = ["measure_streams", "session"]

ROUNDS: Final = 5
READERS: Final = 10
RISE_MAX: Final = 1.1
"""Goal: the median of the latencies with readers is at most so many times that without."""

_CONFIG: Final = """
[[strategies]]
use = "benchmarks.strategies:OrderOften"
[risk]
max_orders_per_minute = 0
"""


def measure_streams(seconds: int = 15) -> None:
    """Run the sessions and print both medians."""
    latencies: dict[int, list[float]] = {0: [], READERS: []}
    read = 0
    for number in range(2 * ROUNDS):
        readers = READERS * (number % 2)
        latency, messages = session(seconds, readers)
        latencies[readers].append(latency)
        read += messages
    without, beside = (statistics.median(latencies[readers]) for readers in (0, READERS))
    verdict = "reached" if beside <= RISE_MAX * without else "missed"
    print(f"streams, {READERS} readers    p50 {beside:.2f} ms, without {without:.2f} ms, medians of {ROUNDS}")
    print(f"                      {read:,} messages read; goal at most {RISE_MAX} times: {verdict}")


def session(seconds: int, readers: int = 0, more: str = "") -> tuple[float, int]:
    """Return the median latency of a session, and how many messages its readers got.

    `more` is added to its configuration.
    """
    with tempfile.TemporaryDirectory() as scratch:
        root, config = Path(scratch) / "journal", Path(scratch) / "bench.toml"
        config.write_text(_CONFIG + more, encoding="utf-8")
        command = [sys.executable, "-P", "-m", "engine", "live", "--for", f"{seconds}s", "--json", "--no-db"]
        command += ["--journal", str(root), "--config", str(config), "--quiet"]
        session = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        reading: subprocess.Popen[str] | None = None
        if readers:
            while not (root / SOCKET_NAME).exists() and session.poll() is None:
                time.sleep(0.05)
            command = [sys.executable, "-m", "benchmarks.streams", str(root), str(readers)]
            reading = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        result: dict[str, Any] = json.loads(session.communicate()[0])
        messages = 0 if reading is None else int(reading.communicate()[0])
        return result["latency_p50_ms"], messages


def _read(root: Path, readers: int) -> int:
    """Read so many streams until the engine ends them, and return how many messages came."""
    selector = selectors.DefaultSelector()
    connections = [connect_unix(root) for _ in range(readers)]
    for connection in connections:
        connection.sendall(b"GET /api/stream HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
        selector.register(connection, selectors.EVENT_READ, connection)
    messages = 0
    while selector.get_map():
        for key, _ in selector.select():
            try:
                data: bytes = key.data.recv(65_536)
            except ConnectionError:
                data = b""
            messages += data.count(b"event: ")
            if not data:
                selector.unregister(key.data)
                key.data.close()
    return messages


if __name__ == "__main__":
    print(_read(Path(sys.argv[1]), int(sys.argv[2])))

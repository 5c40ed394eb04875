"""An hour of the market at high speed, with ten readers: the memory of the engine stays flat."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.api.sockets import SOCKET_NAME
from tests.commands.kit import FAST, ROOT, environment, start, until
from tests.profiles import pick

SECONDS = pick(0, deep=60)
SPEED = 60
GROWTH_MAX = 1.10
"""The last third may have so many times the memory of the second; the first one fills what is bounded."""


def rss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("the process has ended")


@pytest.mark.skipif(not SECONDS, reason="takes a minute: `make test-deep`")
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_memory_is_flat_over_an_hour_of_the_market_with_ten_readers(tmp_path: Path) -> None:
    root, config = tmp_path / "journal", tmp_path / "c.toml"
    config.write_text(FAST, encoding="utf-8")
    options = ("--journal", root, "--config", config, "--speed", SPEED, "--no-db", "--quiet", "--json")
    session = start("live", *options, "--for", f"{SECONDS}s", stderr=subprocess.DEVNULL)
    try:
        until((root / SOCKET_NAME).exists)
        command = [sys.executable, "-m", "benchmarks.streams", str(root), "10"]
        readers = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT)
        sizes = []
        while session.poll() is None:
            sizes.append(rss_kib(session.pid))
            time.sleep(SECONDS / 120)
            if len(sizes) > 110:
                break
        messages = int(readers.communicate()[0])
        assert json.loads(session.communicate()[0].splitlines()[-1])["inputs"] > 1000
    finally:
        session.kill()
        session.wait()
    third = len(sizes) // 3
    assert messages > 1000, "the readers read"
    second, last = statistics.median(sizes[third : 2 * third]), statistics.median(sizes[2 * third :])
    assert last <= GROWTH_MAX * second, f"{[size // 1024 for size in sizes]} MiB"

"""Runs the command as a user does: a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "journal" / "2024-12-05"
ENGINE = [sys.executable, "-m", "engine"]
FAST = """
[[strategies]]
use = "engine.strategies.crossover:Crossover"
params = { fast = 2, slow = 3, interval = "1s" }
[bars]
intervals = ["1s", "5s"]
grace_ms = 100
"""


def engine(*args: object, cwd: Path | None = None, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Whatever happens, it must not print a traceback."""
    done = subprocess.run(
        [*ENGINE, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=cwd,
        env=environment(),
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def start(*args: object, **kwargs: Any) -> subprocess.Popen[str]:
    """Start a command in the background."""
    return subprocess.Popen(
        [*ENGINE, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        **kwargs,
    )


def as_json(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def days(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def assert_replays(root: Path) -> list[dict[str, Any]]:
    """Every day of a journal re-derives bit for bit; return the reports."""
    reports = [as_json(engine("replay", day, "--json")) for day in days(root)]
    assert reports
    assert all(report["identical"] for report in reports), reports
    return reports


@contextlib.contextmanager
def sandbox(*args: object) -> Iterator[str]:
    """A sandbox of its own; yields its base url."""
    process = start("sandbox", "--port", 0, "--json", *args)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def trades_csv(path: Path, count: int = 3000, start_ms: int = 1_642_204_800_000) -> Path:
    """A small file of trades: five a second, over ten minutes, around a slow swing."""
    rows = ["timestamp,price,quantity"]
    for number in range(count):
        swing = number % 400 if number % 800 < 400 else 400 - number % 400
        rows.append(f"{start_ms + number * 200},{43_000 + swing}.{number % 10}5,0.0{number % 9 + 1}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path

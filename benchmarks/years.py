"""Years of one-minute candles of two coins: import, backtest and report, with time and memory.

Each step is a command in a process of its own, so its peak memory is its own. `benchmarks.run` plays a
twelfth of three years; `python -m benchmarks.years` plays all of them, which takes most of half an hour.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Final

from engine.clock import day_start_ns

__all__ = ["measure_years"]

MINUTES: Final = 1_096 * 1_440
PART: Final = MINUTES // 12
FIRST: Final = "2021-01-01"
GOAL_S: Final = 8.0
"""For all `MINUTES` of one coin; a part has its part of it."""
GOAL_MB: Final = 150.0
_COINS: Final = ("ONE", "TWO")
_STRATEGY: Final = ("--strategy", "engine.strategies.crossover:Crossover", "--param", "interval=1h")

_MEASURED: Final = """
import os, subprocess, sys
process = subprocess.Popen([sys.executable, *sys.argv[1:]], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
print(process.returncode, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
"""Starts a command from a small process: Linux counts what its starter held as memory of the command."""


def measure_years(root: Path, minutes: int = MINUTES) -> None:
    """Import the candles, play one coin and both, write and read a report; print seconds and peak memory."""
    root.mkdir(exist_ok=True)
    print(f"\nyears: {minutes:,} one-minute candles of each of {len(_COINS)} coins")
    for number, coin in enumerate(_COINS):
        source = _write_candles(root / f"{coin}.csv", minutes, seed=number)
        options = ("--venue", "bench", "--instrument", coin, "--journal", str(root / coin))
        _measure(f"import {coin}", "import", str(source), *options)
    journals = [str(root / coin) for coin in _COINS]
    goal_s = GOAL_S * minutes / MINUTES
    _measure("backtest, one", "backtest", journals[0], *_STRATEGY, goal_s=goal_s)
    _measure("backtest, both", "backtest", *journals, *_STRATEGY)
    out = str(root / "run")
    page = ("--report", str(root / "report.html"))
    _measure("with page and journal", "backtest", journals[0], *_STRATEGY, "--out", out, *page)
    _measure("report of the journal", "report", out)
    size = (root / "report.html").stat().st_size / 1e6
    print(f"  page                    {size:>7.2f} MB")


def _measure(what: str, *command: str, goal_s: float | None = None) -> None:
    began = time.perf_counter()
    found = subprocess.run(
        [sys.executable, "-S", "-c", _MEASURED, "-m", "engine", *command], stdout=subprocess.PIPE, check=True
    )
    code, cpu, peak = map(float, found.stdout.split())
    seconds = time.perf_counter() - began
    verdict = ""
    if goal_s is not None:
        reached = seconds <= goal_s and peak <= GOAL_MB
        verdict = f"   goal {goal_s:.2g} s, {GOAL_MB:g} MiB: {'reached' if reached else 'missed'}"
    failed = f"   failed with {code:g}" if code else ""
    print(f"  {what:22}  {seconds:>7.2f} s  {cpu:>7.2f} s cpu  {peak:>6.0f} MiB{verdict}{failed}", flush=True)


def _write_candles(path: Path, minutes: int, seed: int) -> Path:
    """Write a random walk of one-minute candles, the same in every run."""
    random = Random(seed)
    price, at_ms = 3_000_000, day_start_ns(FIRST) // 1_000_000
    with path.open("w", encoding="utf-8") as file:
        file.write("timestamp,open,high,low,close,volume\n")
        for number in range(minutes):
            close = max(1_000, price + random.randint(-2_000, 2_000))
            high, low = max(price, close) + random.randint(0, 900), min(price, close) - random.randint(0, 900)
            cents = ",".join(f"{value / 100:.2f}" for value in (price, high, low, close))
            file.write(f"{at_ms + number * 60_000},{cents},{random.randint(1, 9_999) / 1000:.3f}\n")
            price = close
    return path


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        measure_years(Path(scratch))

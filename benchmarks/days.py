"""The cost of days that hold little: years of daily candles, imported and played.

Each day has a folder, a midnight and a snapshot of every actor: the days cost, not the candles. Called
by `benchmarks.run`.
"""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Final

from adapters.files.importer import import_files
from engine.clock import DAY_NS, day_of, day_start_ns
from engine.config import Config, StrategyConfig
from replay.runs import backtest

__all__ = ["measure_days"]

DAYS: Final = 2_148
FIRST: Final = "2004-08-19"
GOALS_S: Final = {"import": 3.0, "backtest": 2.0}


def measure_days(root: Path) -> None:
    """Import and play daily candles of eight years, and print the seconds."""
    root.mkdir()
    source = _write_candles(root / "daily.csv")
    journal = root / "journal"
    config = Config(
        strategies=(StrategyConfig(use="engine.strategies.crossover:Crossover", params={"interval": "1d"}),)
    )
    began = time.perf_counter()
    import_files([source], venue="nasdaq", instrument="DAILY", instrument_kind="stock", journal=journal)
    imported = time.perf_counter()
    report = backtest([journal], config)
    played = time.perf_counter()
    print(f"\ndays: {DAYS:,} daily candles, {report.orders} orders")
    for name, seconds in (("import", imported - began), ("backtest", played - imported)):
        goal = GOALS_S[name]
        how = "reached" if seconds <= goal else f"missed by {seconds / goal - 1:.0%}"
        print(f"  {name:8}  {seconds:>8.2f} s   {seconds / DAYS * 1e3:.2f} ms a day, goal {goal:g} s: {how}")


def _write_candles(path: Path) -> Path:
    """Write a random walk of daily candles, the same in every run."""
    random = Random(7)
    price, at_ns = 10_000, day_start_ns(FIRST)
    lines = ["date,open,high,low,close,volume"]
    for number in range(DAYS):
        close = max(100, price + random.randint(-300, 310))
        high, low = max(price, close) + random.randint(0, 99), min(price, close) - random.randint(0, 99)
        cents = ",".join(f"{value / 100:.2f}" for value in (price, high, low, close))
        lines.append(f"{day_of(at_ns + number * DAY_NS)},{cents},{random.randint(1_000, 9_999)}")
        price = close
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

"""A small journal, a project with strategies, and sweeps of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from adapters.files import import_files
from engine.clock import day_start_ns
from tests.commands.kit import Done, engine
from tests.profiles import pick

DAYS = ("2024-03-01", "2024-03-02")
GRID = ("--param", f"every=2:{pick(4, deep=21)}", "--param", "hold=1,2,3")
"""9 trials, 60 under the deep profile."""

STRATEGIES = """
import helper
from engine.strategies import Bar, Strategy


class Turns(Strategy):
    every: int = 3
    hold: int = 1
    size: float = 1.0

    def on_start(self) -> None:
        self.count = 0

    def on_bar(self, bar: Bar) -> None:
        if bar.interval != "1m":
            return
        self.count += 1
        phase = self.count % self.every
        self.plot("phase", helper.scaled(phase, helper.seen.next()))
        self.target(bar.market, str(self.size) if phase < self.hold else "0")


class Idle(Strategy):
    every: int = 3

    def on_bar(self, bar: Bar) -> None:
        if self.every > 3 and bar.interval == "1m":
            self.target(bar.market, "1")


class Fails(Strategy):
    every: int = 3

    def on_bar(self, bar: Bar) -> None:
        self.target(bar.market, "1")
        if self.every == 4:
            raise RuntimeError("four")


class Refuses(Strategy):
    every: int = 3

    def on_start(self) -> None:
        if self.every == 4:
            raise ValueError("every: 4 is not possible")

    def on_bar(self, bar: Bar) -> None:
        self.target(bar.market, "1")
"""

HELPER = """
class Seen:
    def __init__(self) -> None:
        self.number = 0

    def next(self) -> int:
        self.number += 1
        return self.number


seen = Seen()


def scaled(phase: int, number: int) -> float:
    return phase * 0.5 + number
"""


def write_project(folder: Path) -> None:
    """Write the strategies, and a journal of two short days, into a folder."""
    (folder / "mine.py").write_text(STRATEGIES)
    (folder / "helper.py").write_text(HELPER)
    for number, day in enumerate(DAYS):
        begin_ms = day_start_ns(day) // 1_000_000
        rows = ["time,open,high,low,close,volume"]
        for at in range(30):
            price = 100 + (at * 7 + number * 3) % 11
            close = 100 + ((at + 1) * 7 + number * 3) % 11
            rows.append(
                f"{begin_ms + at * 60_000},{price},{max(price, close) + 1},{min(price, close) - 1},{close},5"
            )
        file = folder / f"AAA-1m-{day}.csv"
        file.write_text("\n".join(rows) + "\n")
        import_files([file], journal=folder / "journal", venue="test", instrument="AAA")
        file.unlink()


def sweep(folder: Path, out: str, *args: object, strategy: str = "mine:Turns") -> Done:
    """Run `engine sweep` on the journal of a project."""
    return engine("sweep", "journal", "--strategy", strategy, *args, "--out", out, cwd=folder)


def files(folder: Path) -> dict[str, bytes]:
    """Return the files of a sweep by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def trials(folder: Path) -> list[dict[str, Any]]:
    """Return the trials of a sweep."""
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]

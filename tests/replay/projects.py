"""A strategy's project on disk, and a recorded session of three days."""

from __future__ import annotations

from pathlib import Path

from engine.clock import DAY_NS, SECOND_NS
from engine.config import BarsConfig, Config, StrategyConfig
from engine.journal import JournalWriter, Tail, ensure_identity, list_days
from engine.loading.modules import own_modules
from engine.loading.strategies import make_builder
from engine.sequencer import Sequencer
from replay.backtesting import JournalSink
from tests.replay.kit import EVE, JOURNAL_ID, listings, steady, stopped

MINE = """
from dataclasses import dataclass

import common
from engine.indicators import Sma
from engine.strategies import Bar, PerMarket, Strategy


@dataclass
class Count:
    bars: int = 0
    last: float = 0.0


class Mine(Strategy):
    step: int = 1

    def on_start(self) -> None:
        self.count = Count()
        self.average = PerMarket(Sma, 2)

    def on_bar(self, bar: Bar) -> None:
        self.count.bars += self.step
        self.count.last = bar.close
        self.plot("count", self.count.bars * common.FACTOR + common.counter.next())
        self.plot("average", self.average[bar.market].update(bar.close) or 0.0)
        self.target(bar.market, "0.5" if self.count.bars % 2 else "0.2")
"""
COMMON = '''
FACTOR = 1000


class Counter:
    """Counts while the module is loaded. Snapshots do not hold it."""

    def __init__(self) -> None:
        self.number = 0

    def next(self) -> int:
        self.number += 1
        return self.number


counter = Counter()
'''
QUIET = COMMON.replace("self.number += 1", "self.number = 0")
"""The same module, but it does not count, so that each day replays alone."""

CONFIG = Config(
    strategies=(StrategyConfig(use="mine:Mine"),), bars=BarsConfig(("1m", "5m"), grace_ms=300, close="grace")
)


def make_project(folder: Path, mine: str = MINE, common: str = QUIET) -> Path:
    """Write a project of two modules."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.py").write_text(mine, encoding="utf-8")
    (folder / "common.py").write_text(common, encoding="utf-8")
    return folder


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text that occurs once in a file."""
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new), encoding="utf-8")


def record_days(root: Path, project: Path, config: Config = CONFIG) -> list[Path]:
    """Record a session over two midnights; return the folders of its three days."""
    root.mkdir(parents=True, exist_ok=True)
    with own_modules(project):
        tail = Tail(journal_id=ensure_identity(root, JOURNAL_ID))
        sink = JournalSink(JournalWriter(root, tail, salts=lambda: b"s" * 16, sync=False))
        builder = make_builder()
        sequencer = Sequencer(builder, sink)
        at_ns = EVE - 600 * SECOND_NS
        sequencer.run([builder.start(recv_ns=at_ns, session="aa" * 8, mode="paper", config=config)])
        inputs = listings(at_ns)
        inputs += steady(200, at_ns, gap_ms=5000) + steady(200, at_ns + DAY_NS, gap_ms=5000)
        for begin in range(0, len(inputs), 20):
            sequencer.run(inputs[begin : begin + 20])
        sequencer.run([stopped(sequencer.now_ns)])
        sink.close()
    folders = [day.path for day in list_days(root)]
    assert len(folders) == 3
    return folders

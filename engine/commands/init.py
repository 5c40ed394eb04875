"""`engine init DIR`: writes a small project that runs without changes."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from engine.errors import UsageError

__all__ = ["init_command"]

FILES: Final = {
    "engine.toml": """# Instruments, strategies and limits of a session. `engine config` lists every key.
instruments = ["BTC", "ETH"]

[[strategies]]
use = "strategies.my_strategy:MyStrategy"
params = { lookback = 20 }

[bars]
intervals = ["1s", "1m"]

[risk]
max_order_notional = "10000"
""",
    "strategies/my_strategy.py": '''"""Buys a new high with a stop-loss, and goes flat below the average."""

from engine.indicators import Sma
from engine.strategies import Bar, Fill, PerMarket, Strategy


class MyStrategy(Strategy):
    """A breakout: set its parameters in engine.toml, or with --param lookback=30."""

    interval: str = "1s"
    lookback: int = 20
    notional: float = 1000.0
    stop_percent: float = 1.0

    def on_start(self) -> None:
        """Make the state: everything that is remembered from one event to the next."""
        self.average = PerMarket(Sma, self.lookback)

    def on_bar(self, bar: Bar) -> None:
        """Decide at the end of each bar."""
        if bar.interval != self.interval:
            return
        average = self.average[bar.market].update(bar.close)
        *before, close = self.bars(bar.market, bar.interval, self.lookback + 1).values()
        if average is None or not before:
            return
        self.plot("average", average)
        if close > max(before) and not self.wanted(bar.market):
            self.target(bar.market, notional=self.notional, reason="new high")
        elif close < average and self.wanted(bar.market):
            self.target(bar.market, 0, reason="below average")

    def on_fill(self, fill: Fill) -> None:
        """Protect what is bought. A stop closes at most the position, so it can be as large as the target."""
        if fill.side == "buy" and not any(order.trigger for order in self.orders(fill.market)):
            size = self.wanted(fill.market) or fill.size
            self.stop(fill.market, "sell", size, fill.price * (1 - self.stop_percent / 100))
''',
    "tests/test_my_strategy.py": '''"""Sends bars to the strategy, and answers its requests."""

from engine.testing import Bench
from strategies.my_strategy import MyStrategy


def test_it_buys_a_new_high_with_a_stop_and_sells_below_the_average() -> None:
    bench = Bench(MyStrategy, lookback=3, notional=102)
    for close in (100, 101, 100):
        bench.bar(close, interval="1s")
    assert bench.wants() == 0
    bench.bar(102, interval="1s")
    assert bench.wants() == 1
    bench.fill("target", 0.25)
    bench.fill("target")
    assert bench.strategy.position("BTC").size == 1
    assert [(order.size, order.trigger_price) for order in bench.strategy.orders("BTC")] == [(1, 100.98)]
    bench.bar(90, interval="1s")
    assert bench.wants() == 0
    assert len(bench.plots["average"]) == 3


def test_it_looks_at_its_own_interval_only() -> None:
    bench = Bench(MyStrategy, lookback=2)
    for close in range(100, 110):
        bench.bar(close, interval="1m")
    assert bench.emitted == []
''',
    "conftest.py": '''"""Lets the tests import `strategies`: pytest puts this folder on the path."""
''',
    "README.md": """# My strategies

    python -m pytest                                  # tests of the strategy
    engine live --config engine.toml --for 30s        # on paper, against the embedded sandbox exchange
    engine replay journal/<day>                       # verifies that the day re-derives bit for bit

Edit `strategies/my_strategy.py`; its parameters are in `engine.toml`. Then:

    engine backtest journal/<day> --config engine.toml --param lookback=30
""",
}
"""The files of the project: content by path."""


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init_command(folder: Path) -> None:
    """Write a small project into DIR: configuration, a strategy, a test of it.

    Nothing is overwritten: a folder that holds any of its files is refused.
    """
    taken = [name for name in FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if taken:
        raise UsageError(f"{folder}: holds {', '.join(taken)} already; give a new folder")
    try:
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be written ({error.strerror})") from None
    click.echo(f"written to {folder}. Next:\n")
    for command in (
        f"cd {folder}",
        "python -m pytest",
        "engine live --config engine.toml --for 30s",
    ):
        click.echo(f"  {command}")

"""Days that are imported from rows of trades, and a strategy that trades once, for tests of joined days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from adapters.files import import_files
from engine.analysis.shapes import Fingerprints
from engine.clock import SECOND_NS, day_start_ns
from engine.commands.bars import bar_row
from engine.config import AccountConfig, BarsConfig, Config, PaperConfig, RiskConfig, StrategyConfig
from engine.journal import list_days
from engine.session import SessionBuilder
from engine.strategies import Bar, Strategy
from engine.values import parse_interval
from replay.backtesting import BacktestReport, DigestSink, run_backtest
from replay.bars import bars_of
from tests.strategies.fakes import CODE

__all__ = ["Once", "Row", "bars", "imported", "play", "results", "steps", "trades"]

Row = tuple[int, str, str]
"""(time in ms, price, size)"""


class Once(Strategy):
    """Buys 1 in each market at the close of its first bar, and sells a half at the close of its third."""

    def on_start(self) -> None:
        self.seen: dict[str, int] = {}

    def on_bar(self, bar: Bar) -> None:
        count = self.seen[bar.market] = self.seen.get(bar.market, 0) + 1
        if count == 1:
            self.buy(bar.market, "1")
        elif count == 3:
            self.sell(bar.market, "0.5")


class Hold(Once):
    """Buys 1 in each market at the close of its first bar."""

    def on_bar(self, bar: Bar) -> None:
        if bar.market not in self.seen:
            self.seen[bar.market] = 1
            self.buy(bar.market, "1")


_STRATEGIES = {"imports:Once": Once, "imports:Hold": Hold}


def steps(day: str, prices: Sequence[str], sizes: Sequence[str], count: int, every_s: int) -> list[Row]:
    """Return trades from the start of a day, with these prices and sizes in turn."""
    begin_ms = day_start_ns(day) // 1_000_000
    return [
        (begin_ms + number * every_s * 1000, prices[number % len(prices)], sizes[number % len(sizes)])
        for number in range(count)
    ]


def trades(path: Path, rows: Iterable[Row]) -> Path:
    """Write trades as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("time,price,size\n" + "".join(f"{ms},{price},{size}\n" for ms, price, size in rows))
    return path


def imported(root: Path, rows: Iterable[Row], name: str = "BTCUSDT", **options: Any) -> list[Path]:
    """Import trades of one instrument into the journal `root`, and return its days."""
    options.setdefault("venue", "binance")
    file = trades(root.parent / f"{root.name} {name}.csv", rows)
    import_files([file], instrument=name, journal=root, **options)
    return [day.path for day in list_days(root)]


def results(report: BacktestReport) -> BacktestReport:
    """Return a report without its digests and fingerprints, which name the records that it is of."""
    analysis = msgspec.structs.replace(report.analysis, fingerprints=Fingerprints())
    return msgspec.structs.replace(report, digest="", analysis=analysis)


def play(folders: Sequence[Path], strategy: str = "Hold", **changes: Any) -> BacktestReport:
    """Run a backtest on minutes."""
    config = Config(
        strategies=(StrategyConfig(use=f"imports:{strategy}"),),
        bars=BarsConfig(("1m", "1d")),
        risk=RiskConfig(
            max_orders_per_minute=1000, max_order_notional="100000", max_position_notional="100000"
        ),
        paper=PaperConfig(latency_ms=0, slippage_bps=0),
        account=AccountConfig(cash="1000000"),
        **changes,
    )
    return run_backtest(
        folders, SessionBuilder(_STRATEGIES.__getitem__, CODE, "0.0.test"), config, DigestSink()
    )


def bars(folders: Sequence[Path], interval: str, *, unclosed: bool = False) -> list[dict[str, Any]]:
    """Return the bars of days as `engine bars` prints them."""
    return [bar_row(one) for one in bars_of(folders, parse_interval(interval), unclosed=unclosed)]


def second(day: str, number: int) -> int:
    """Return the time of a second of a day, UTC nanoseconds."""
    return day_start_ns(day) + number * SECOND_NS

"""`make bench`: speed of replays, backtests and journal writes, and the latency of a live session.

    replay      journal bytes -> decode -> actors -> compare -> verified result, one million trades, one core
    bare loop   the same bytes, decoded and aggregated to OHLCV in one Python loop: the limit for any design
    bars        the same backtest with ten intervals instead of one, and with fifty instruments instead of one
    aggregator  one trade, with a time stamp of its own or shared with others
    days        eight years of daily candles, imported and played: the cost of a midnight
    years       a twelfth of three years of one-minute candles of two coins: import, backtest, report, memory
    append      frames written to the journal, with and without a sync for each
    live        a session on the sandbox: from receipt of a frame to release of an order, including the sync
    streams     the same latency beside ten readers of the stream, and without
    stores      rows written to PostgreSQL, Parquet, Redis and QuestDB, beside a plain bulk insert of them
    beside      the latency of a session with a store in PostgreSQL, and with a mirror on NATS, and without
    mirrors     the sample day sent to NATS and to Kafka, and pulled from there

Each replay is measured directly after a bare loop in the same process. The result is the median ratio.
"""

from __future__ import annotations

import functools
import gc
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.beside import measure_beside, measure_mirrors
from benchmarks.days import measure_days
from benchmarks.stores import measure_stores
from benchmarks.streams import measure_streams
from benchmarks.tape import TRADES, market
from benchmarks.years import PART, measure_years
from engine.actors import Aggregator
from engine.actors.base import Turn
from engine.clock import SystemIds
from engine.config import AccountConfig, BarsConfig, Config, StrategyConfig
from engine.events import Event, InstrumentListed, Trade, engine_time
from engine.instruments import Instruments
from engine.journal import Draft, JournalWriter, Tail, ensure_identity, list_days, read_frames
from engine.loading.strategies import make_builder
from engine.records import draft_of, inputs_of, open_day
from replay.backtesting import DigestSink, JournalSink, run_backtest
from replay.verification import replay_day

ROUNDS = 5
MINUTE_NS = 60_000_000_000
TEN_INTERVALS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "12h", "1d")
GOALS = {"bars": 0.4, "handler": 0.3}


def main() -> None:
    """Run all benchmarks and print the results. A missed goal is reported and is not an error."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        market_day = _write_market(root / "market")
        print(
            f"{TRADES:,} trades, 1m bars, EMA 10/20 cross, fills; best speed and median ratio of {ROUNDS}\n"
        )
        for name, strategy, what in (
            ("bars", "engine.strategies.crossover:Crossover", "strategy on bars"),
            ("handler", "benchmarks.strategies:EveryTrade", "the same, and a handler on every trade"),
        ):
            day = _record(root / name, market_day, strategy)
            _measure_replay(name, what, day)
        _measure_bars(root, market_day)
        _measure_aggregator()
        measure_days(root / "days")
        measure_years(root / "years", PART)
        _measure_append(root / "append")
    _measure_live()
    measure_streams()
    measure_stores()
    measure_beside()
    measure_mirrors()


def _write_market(root: Path, instruments: int = 1) -> Path:
    """Write the tape as a journal day of market inputs."""
    ids = SystemIds()
    root.mkdir()
    tail = Tail(journal_id=ensure_identity(root, ids.random_bytes(16)))
    with JournalWriter(root, tail, salts=lambda: ids.random_bytes(16), sync=False) as writer:
        seq = 1
        for batch in market(instruments=instruments):
            at_ns = engine_time(batch[0])
            writer.append(draft_of(seq, batch), at_ns)
            seq += len(batch)
    return list_days(root)[0].path


def _record(root: Path, market_day: Path, strategy: str) -> Path:
    """Run a backtest on the tape into a journal, for the replays."""
    ids = SystemIds()
    root.mkdir()
    config = Config(strategies=(StrategyConfig(use=strategy),), bars=BarsConfig(intervals=("1m",)))
    tail = Tail(journal_id=ensure_identity(root, ids.random_bytes(16)))
    with JournalWriter(root, tail, salts=lambda: ids.random_bytes(16), sync=False) as writer:
        report = run_backtest([market_day], make_builder(), config, JournalSink(writer))
    print(f"recorded with {strategy.rpartition(':')[2]}: {report.bars:,} bars, {report.fills:,} fills")
    began = time.perf_counter()
    run_backtest([market_day], make_builder(), config, DigestSink())
    print(f"  backtest            {TRADES / (time.perf_counter() - began):>12,.0f} trades/s")
    return list_days(root)[0].path


def _measure_replay(name: str, what: str, day: Path) -> None:
    bares, replays = [], []
    for _ in range(ROUNDS):
        bares.append(TRADES / _timed(lambda: _bare_loop(day)))
        replays.append(TRADES / _timed(lambda: _verified(day)))
    bare, replay = max(bares), max(replays)
    ratio = statistics.median(mine / floor for mine, floor in zip(replays, bares, strict=True))
    goal = GOALS[name]
    verdict = "reached" if ratio >= goal else f"missed by {(goal - ratio) / goal:.0%}"
    print(f"  bare loop           {bare:>12,.0f} trades/s   decode + OHLCV")
    print(f"  verified replay     {replay:>12,.0f} trades/s   {what}")
    print(f"  ratio               {ratio:>12.2f}            goal {goal:g}: {verdict}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory         {peak:>12,.0f} MiB\n")


def _measure_bars(root: Path, market_day: Path) -> None:
    """Compare the cost of bars: ten intervals with one, fifty instruments with one."""
    fifty = _write_market(root / "fifty", instruments=50)
    seconds = {}
    for name, day, intervals in (
        ("1m", market_day, ("1m",)),
        ("ten", market_day, TEN_INTERVALS),
        ("1s", market_day, ("1s",)),
        ("ten from 1s", market_day, ("1s", "5s", "15s", "30s", "1m", "5m", "15m", "1h", "4h", "1d")),
        ("fifty", fifty, ("1m",)),
    ):
        shortest = StrategyConfig(params={"interval": intervals[0]})
        # Enough cash for fifty positions: near a margin call the account is looked at with every trade.
        account = AccountConfig(cash="10000000")
        config = Config(strategies=(shortest,), bars=BarsConfig(intervals=intervals), account=account)
        play = functools.partial(_play, day, config)
        seconds[name] = min(_timed(play) for _ in range(3))
    for what, one, other, goal in (
        ("ten intervals, one", "ten", "1m", 2.5),
        ("the same, from a second", "ten from 1s", "1s", 2.5),
        ("fifty instruments, one", "fifty", "1m", 1.3),
    ):
        ratio = seconds[one] / seconds[other]
        verdict = "reached" if ratio <= goal else "missed"
        print(f"bars: {what:23} {ratio:>6.2f} times the cost, goal {goal}: {verdict}")
    print()


def _measure_aggregator() -> None:
    """Measure the aggregator alone, per trade: each with its own time stamp, or ten sharing one."""
    listed, *trades = (event for batch in market() for event in batch)
    assert isinstance(listed, InstrumentListed)
    emitted: list[object] = []
    for what, share in (("a time of its own", 1), ("ten to a time stamp", 10)):
        stamped = [
            msgspec.structs.replace(trade, venue_ns=trades[number // share * share].venue_ns)  # type: ignore[attr-defined]
            for number, trade in enumerate(trades)
        ]

        def add_all(stamped: list[Event] = stamped) -> None:
            aggregator = Aggregator(BarsConfig(intervals=("1m",)))
            aggregator.bind(Instruments([listed]), Turn())
            add, emit = aggregator.add, emitted.append
            for trade in stamped:
                add(trade, emit)  # type: ignore[arg-type]
            emitted.clear()

        cost = min(_timed(add_all) for _ in range(3)) / TRADES * 1e9
        print(f"aggregator: a trade, {what:21} {cost:>4.0f} ns")
    print()


def _play(day: Path, config: Config) -> None:
    run_backtest([day], make_builder(), config, DigestSink())


def _bare_loop(day: Path) -> None:
    """Decode every frame and aggregate its trades to one-minute bars: the minimal work of any engine."""
    bars: list[tuple[int, int, int, int, int, int]] = []
    end = first = high = low = close = volume = count = 0
    for frame in read_frames(day, verify_digest=False):
        for event in inputs_of(frame):
            if event.__class__ is not Trade:
                continue
            price = event.price
            at_ns = event.venue_ns
            if at_ns >= end:
                if count:
                    bars.append((first, high, low, close, volume, count))
                end = at_ns // MINUTE_NS * MINUTE_NS + MINUTE_NS
                first = high = low = price
                volume = count = 0
            elif price > high:
                high = price
            elif price < low:
                low = price
            close = price
            volume += event.size
            count += 1
    assert len(bars) > 1000


def _verified(day: Path) -> None:
    report, _ = replay_day(open_day(day), make_builder())
    assert report.identical, report.divergence


def _timed(work: Callable[[], None]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _measure_append(root: Path) -> None:
    ids = SystemIds()
    for sync, frames in ((False, 20_000), (True, 500)):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        tail = Tail(journal_id=ensure_identity(root, ids.random_bytes(16)))
        blob = b"\x91\x93\xa5clock\x00" + b"\x00" * 400
        with JournalWriter(root, tail, salts=lambda: ids.random_bytes(16), sync=sync) as writer:
            began = time.perf_counter()
            for number in range(frames):
                writer.append(Draft(number + 1, 1, blob), 1_733_356_800_000_000_000)
            seconds = time.perf_counter() - began
        how = "each synced" if sync else "not synced"
        print(
            f"append, {how:12}  {frames / seconds:>12,.0f} frames/s   {seconds / frames * 1e6:,.0f} us each"
        )


def _measure_live(seconds: int = 15) -> None:
    """Run a live session on the sandbox with a strategy that orders on trades, and print its latencies."""
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "bench.toml"
        config.write_text(
            '[[strategies]]\nuse = "benchmarks.strategies:OrderOften"\n[risk]\nmax_orders_per_minute = 0\n',
            encoding="utf-8",
        )
        command = [sys.executable, "-P", "-m", "engine", "live", "--for", f"{seconds}s", "--json", "--no-db"]
        command += ["--journal", f"{scratch}/journal", "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"live session failed: {done.stderr.strip()}")
            return
        result = json.loads(done.stdout)
    p50, p99 = result["latency_p50_ms"], result["latency_p99_ms"]
    verdict = "reached" if p50 < 1 and p99 < 5 else "missed"
    print(f"live, {result['commands']} orders     p50 {p50:.2f} ms, p99 {p99:.2f} ms, receipt to release")
    print(f"                      goal p50 < 1 ms, p99 < 5 ms: {verdict}")


if __name__ == "__main__":
    main()

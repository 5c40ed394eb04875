"""A backtest is a session: the same inputs give the same digest, and its journal replays (R03, R05)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from engine.clock import SECOND_NS, day_start_ns
from engine.config import AccountConfig, Config, RiskConfig
from engine.errors import UsageError
from engine.events import (
    BarClosed,
    BookRead,
    ClockAdvanced,
    ContextRead,
    EdgeChanged,
    EquityMarked,
    Event,
    LiquidationRead,
    OperatorCommand,
    OrderFilled,
    OrderRefused,
    PositionChanged,
    PriceMarked,
    SessionStopped,
    SignalRaised,
    SubmitOrder,
    Trade,
    engine_time,
)
from engine.journal import JournalWriter, Tail, ensure_identity, list_days
from engine.records import open_day, read_records
from engine.values import SELL
from replay.backtesting import BacktestReport, DigestSink, JournalSink, run_backtest
from replay.joining import JoinedDays
from replay.verification import replay_day
from tests.replay.kit import (
    AAA,
    BUSY,
    EVE,
    JOURNAL_ID,
    NOON,
    batches,
    candles,
    config_of,
    listings,
    opening,
    steady,
    stopped,
    use,
    write_journal,
)
from tests.strategies.fakes import builder

ROOT = Path(__file__).resolve().parents[2]


def recorded(root: Path, at_ns: int = NOON, count: int = 400, data: list[Event] | None = None) -> list[Path]:
    """Record a session whose strategy does nothing, as market data for backtests; return its days."""
    inputs = opening(config_of(use("Averages")), at_ns) + (data or steady(count, at_ns))
    inputs.append(stopped(inputs[-1].recv_ns))  # type: ignore[attr-defined]
    write_journal(root, batches(inputs, range(0, len(inputs), 50)))
    return [day.path for day in list_days(root)]


def run(folders: list[Path], config: Config = BUSY, out: Path | None = None) -> BacktestReport:
    sink = DigestSink()
    if out is not None:
        out.mkdir()
        tail = Tail(journal_id=ensure_identity(out, JOURNAL_ID))
        sink = JournalSink(JournalWriter(out, tail, salts=lambda: os.urandom(16), sync=False))
    return run_backtest(folders, builder(), config, sink)


def written(out: Path) -> list[Any]:
    return [record for day in list_days(out) for record in read_records(day.path)]


def test_the_same_days_strategy_and_configuration_give_the_same_digest(tmp_path: Path) -> None:
    folders = recorded(tmp_path / "a")
    first, second = run(folders), run(folders)
    assert first == second
    assert first.fills
    assert first.digest != run(folders, config_of(use("Averages"))).digest


def test_r03_a_backtest_has_one_digest_under_every_hash_seed(tmp_path: Path) -> None:
    folders = recorded(tmp_path / "a", EVE)
    expected = run(folders).digest
    program = (
        "import sys; from pathlib import Path; from tests.replay.test_backtest import run;"
        "print(run([Path(arg) for arg in sys.argv[1:]]).digest)"
    )
    for seed in ("1", "2"):
        found = subprocess.run(
            [sys.executable, "-c", program, *map(str, folders)],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        )
        assert found.stdout.strip() == expected, seed


@pytest.mark.parametrize("at_ns", [NOON, EVE])
def test_the_written_journal_replays_identical_and_ends_in_the_reported_digest(
    tmp_path: Path, at_ns: int
) -> None:
    folders = recorded(tmp_path / "a", at_ns)
    report = run(folders, out=tmp_path / "out")
    assert report.digest == run(folders).digest
    days = [day.path for day in list_days(tmp_path / "out")]
    assert [day.name for day in days] == [folder.name for folder in folders]
    found = [replay_day(open_day(day), builder())[0] for day in days]
    assert all(one.identical for one in found)
    assert found[-1].digest == report.digest
    assert sum(one.events for one in found) == report.events


def test_the_report_counts_what_the_journal_holds(tmp_path: Path) -> None:
    folders = recorded(tmp_path / "a", EVE)
    report = run(folders, out=tmp_path / "out")
    events = [event for _, _, event in written(tmp_path / "out")]

    def count(kind: type[Event]) -> int:
        return sum(isinstance(event, kind) for event in events)

    assert report.trades == count(Trade) == 400
    assert (report.bars, report.orders, report.fills) == (
        count(BarClosed),
        count(SubmitOrder),
        count(OrderFilled),
    )
    assert report.refused == count(OrderRefused)
    assert report.events == len(events)
    assert report.first == engine_time(events[1])


def test_equity_follows_from_the_fills_to_the_last_digit(tmp_path: Path) -> None:
    """Compared with Decimal arithmetic over the journal and the last marks."""
    report = run(recorded(tmp_path / "a", EVE), out=tmp_path / "out")
    scales = {1: (4, 3), 2: (2, 1)}
    cash, fees, held = Decimal(report.cash), Decimal(0), dict.fromkeys(scales, Decimal(0))
    marks: dict[int, Decimal] = {}
    for _, _, event in written(tmp_path / "out"):
        if isinstance(event, OrderFilled):
            price_scale, size_scale = scales[event.instrument]
            price = Decimal(event.price).scaleb(-price_scale - event.finer)
            size = Decimal(event.side * event.size).scaleb(-size_scale)
            cash -= price * size
            fees += Decimal(int(event.fee)).scaleb(-price_scale - size_scale - event.finer)
            held[event.instrument] += size
        elif isinstance(event, PriceMarked):
            marks[event.instrument] = Decimal(event.price).scaleb(-scales[event.instrument][0])
    assert report.fills > 10
    assert fees > 0
    assert Decimal(report.fees) == fees
    assert Decimal(report.equity) == cash - fees + sum(held[one] * marks.get(one, 0) for one in held)
    assert Decimal(report.equity) == (
        Decimal(report.cash) + Decimal(report.realized_pnl) + Decimal(report.unrealized_pnl) - fees
    )


def test_books_marks_and_funding_rates_of_the_data_count(tmp_path: Path) -> None:
    """A taker takes no more than the book has, and funding is paid; without rates the report says so."""
    begin_ns = NOON - 8 * SECOND_NS  # funding is settled at noon, while something is held
    data = steady(400, begin_ns)
    plain = run(recorded(tmp_path / "plain", begin_ns, data=data), out=tmp_path / "out 1")
    assert plain.funding == "0"
    assert plain.notes[-2:] == [
        f"the funding of {name} is left out: the data has no rates" for name in ("AAA", "BBB")
    ]
    at_ns = engine_time(data[0])
    levels = tuple((data[0].price, 1, 1) for _ in range(1))  # type: ignore[attr-defined]
    read: list[Event] = [
        BookRead(at_ns, at_ns, data[0].instrument, levels, levels),  # type: ignore[attr-defined]
        *(ContextRead(at_ns, number, 7, None, None, None, 125, None, None) for number in (1, 2)),
    ]
    rich = run(
        recorded(tmp_path / "rich", begin_ns, data=[data[0], *read, *data[1:]]), out=tmp_path / "out 2"
    )
    assert not any("funding" in note for note in rich.notes)
    assert BookRead in [type(event) for _, _, event in written(tmp_path / "out 2")]
    assert rich.fills < plain.fills, "a taker waits for the next book"
    assert Decimal(rich.funding) != 0


def test_positions_at_the_end_are_those_of_the_last_change(tmp_path: Path) -> None:
    report = run(recorded(tmp_path / "a"), out=tmp_path / "out")
    last = {
        (event.strategy, event.instrument): event.size
        for _, _, event in written(tmp_path / "out")
        if isinstance(event, PositionChanged)
    }
    names = {1: ("AAA", 3), 2: ("BBB", 1)}
    for (strategy, instrument), size in last.items():
        name, scale = names[instrument]
        found = report.positions[f"{strategy} {name}"]
        assert Decimal(found["size"]) == Decimal(size).scaleb(-scale)
        assert found["side"] == {1: "buy", -1: "sell", 0: ""}[(size > 0) - (size < 0)]


def test_only_market_inputs_are_taken_from_a_day(tmp_path: Path) -> None:
    """Orders, clocks and operators belong to the recorded session."""
    inputs = opening(BUSY, NOON) + steady(100, NOON)
    middle: int = inputs[50].recv_ns  # type: ignore[attr-defined]
    inputs[51:51] = [OperatorCommand(middle, "halt"), ClockAdvanced(middle), EdgeChanged(middle, "feed", "x")]
    write_journal(tmp_path / "busy", batches([*inputs, stopped(inputs[-1].recv_ns)], ()))  # type: ignore[attr-defined]
    quiet = recorded(tmp_path / "quiet", count=100)
    one, other = run([tmp_path / "busy" / "2024-12-05"]), run(quiet)
    # The frames are cut elsewhere, and the session is named after how its data begins.
    one.digest, one.analysis.fingerprints = other.digest, other.analysis.fingerprints
    assert one == other


def test_a_day_that_opens_with_a_snapshot_has_its_instruments(tmp_path: Path) -> None:
    folders = recorded(tmp_path / "a", EVE)
    inputs = [event for batch in JoinedDays(folders[1:]).batches() for event in batch]
    assert inputs[:2] == listings(day_start_ns("2024-12-06")), "as received when the day opened"
    assert run(folders[1:]).trades > 0


def test_candles_alone_are_enough(tmp_path: Path) -> None:
    """With candles only, a strategy on one-minute closes trades at the open of the next candle."""
    data = candles(120, NOON, 60_000_000_000)
    config = config_of(
        use("Crossover", params={"fast": 2, "slow": 3, "notional": "100"}),
        intervals=("1m", "5m"),
        latency_ms=0,
    )
    report = run(recorded(tmp_path / "a", data=data), config, tmp_path / "out")
    assert (report.trades, report.candles) == (0, 120)
    assert report.bars == 120 + 24
    assert report.fills > 0
    assert replay_day(open_day(tmp_path / "out" / "2024-12-05"), builder())[0].identical


def test_the_report_says_what_is_assumed_of_data_without_trading_rules(tmp_path: Path) -> None:
    config = msgspec.structs.replace(BUSY, account=AccountConfig(leverage={"AAA": 5}))
    notes = run(recorded(tmp_path / "a"), config).notes
    words = "its data states no trading rules; assumed: perp, long and short on margin"
    assert notes[:2] == [f"AAA: {words}, leverage 5", f"BBB: {words}, leverage 20"]
    assert notes[2:] == [
        f"the funding of {name} is left out: the data has no rates" for name in ("AAA", "BBB")
    ]


def test_halts_are_named_in_the_report(tmp_path: Path) -> None:
    """A failure halts the engine, a liquidation its market."""
    config = config_of(use("Fragile", params={"fail_at": 50}))
    notes = run(recorded(tmp_path / "a"), config).notes
    (halted,) = [note for note in notes if "halted" in note]
    assert re.fullmatch(
        r"the engine halted at 2024-12-05T12:00:\d\d: Fragile failed: ValueError: .*; nothing was opened .*",
        halted,
    )
    fall = [
        msgspec.structs.replace(one, price=one.price if number < 60 else one.price // 2)  # type: ignore[attr-defined]
        for number, one in enumerate(steady(120, NOON))
    ]
    config = msgspec.structs.replace(config_of(use("Busy")), account=AccountConfig(cash="2.5"))
    notes = run(recorded(tmp_path / "b", data=fall), config).notes
    (halted,) = [note for note in notes if "halted" in note]
    assert halted.startswith("AAA halted at 2024-12-05T12:00:05: liquidation")


def test_days_in_any_order_are_sorted(tmp_path: Path) -> None:
    first = recorded(tmp_path / "a", EVE, 50)
    second = recorded(tmp_path / "b", EVE + 20 * SECOND_NS, 50)
    assert run(second + first) == run(first + second)


def test_a_day_without_market_data_is_refused(tmp_path: Path) -> None:
    started = opening(config_of(use("Averages")), NOON)[:1]
    write_journal(tmp_path / "a", [[*started, SessionStopped(NOON, "a", "test")]])
    with pytest.raises(UsageError, match="there is nothing to play"):
        run([tmp_path / "a" / "2024-12-05"])


def test_a_day_of_contexts_or_liquidations_alone_is_played_and_says_that_no_order_could_fill(
    tmp_path: Path,
) -> None:
    """A strategy can act on each of them."""
    forced = LiquidationRead(NOON + 1, NOON + 1, AAA, SELL, 1000, 5)
    again = LiquidationRead(NOON + 3, NOON + 3, AAA, SELL, 1000, 5)
    context = ContextRead(NOON + 2, AAA, 4, None, None, None, 5, None, 2)
    config = config_of(use("Forced"))
    for name, data, plots in (("a", [forced], 0), ("b", [context], 0), ("c", [forced, context, again], 1)):
        (folder,) = recorded(tmp_path / name, data=[*data])
        report = run([folder], config, tmp_path / f"{name}-out")
        assert "the data has no trades, quotes, candles or books: no order could fill" in report.notes
        assert (report.orders, report.fills) == (0, 0)
        seen = [event for _, _, event in written(tmp_path / f"{name}-out") if isinstance(event, SignalRaised)]
        assert len(seen) == plots
    (folder,) = recorded(tmp_path / "d")
    assert not [note for note in run([folder], config).notes if "no order could fill" in note]


def test_a_missing_day_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such day"):
        run([tmp_path / "2024-12-05"])


def test_a_strategy_fails_in_a_backtest_as_it_does_live(tmp_path: Path) -> None:
    config = config_of(use("Fragile", params={"fail_at": 100}))
    report = run(recorded(tmp_path / "a"), config, tmp_path / "out")
    assert replay_day(open_day(tmp_path / "out" / "2024-12-05"), builder())[0].identical
    assert report.trades == 400
    (failure,) = report.failures
    assert re.fullmatch(r"Fragile at seq \d+: ValueError: .* \(tests/strategies/fakes\.py:\d+\)", failure)


def test_only_configured_instruments_are_used_and_the_day_must_have_all_of_them(tmp_path: Path) -> None:
    days = recorded(tmp_path / "a")
    every = run(days, config_of(use("Averages")), tmp_path / "all")
    one = msgspec.structs.replace(config_of(use("Averages")), instruments=("AAA",))
    some = run(days, one, tmp_path / "some")
    assert 0 < some.trades < every.trades
    assert replay_day(open_day(tmp_path / "some" / "2024-12-05"), builder())[0].identical
    for wrong in (
        msgspec.structs.replace(one, instruments=("AAB",)),
        msgspec.structs.replace(one, instruments=(), risk=RiskConfig(max_order_size={"AAB": "1"})),
        config_of(msgspec.structs.replace(use("Averages"), instruments=("AAB",))),
    ):
        with pytest.raises(UsageError, match="there is no instrument 'AAB'; did you mean AAA"):
            run(days, wrong)


def test_the_largest_fall_begins_at_the_cash_and_counts_every_point(tmp_path: Path) -> None:
    folders = recorded(tmp_path / "a")
    report = run(folders, out=tmp_path / "out")
    points = [event for _, _, event in written(tmp_path / "out") if isinstance(event, EquityMarked)]
    equities = [Decimal(int(one.equity)).scaleb(-one.scale) for one in points]
    peak = fall = Decimal(0)
    for at, equity in enumerate(equities):
        peak = max(peak, equity) if at else equity
        fall = max(fall, peak - equity)
    assert equities[0] == Decimal(report.cash), "the first point is at the start"
    assert Decimal(report.max_drawdown) == fall > 0
    parts = [report.realized_pnl, report.unrealized_pnl, report.funding]
    assert Decimal(report.equity) == Decimal(report.cash) + sum(map(Decimal, parts)) - Decimal(report.fees)

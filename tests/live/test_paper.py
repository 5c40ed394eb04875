"""Paper sessions on fast sandboxes. They do not depend on the machine: the clock waits for the engine."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.abc import Clock

from engine.config import BarsConfig, Config, DataConfig, StrategyConfig
from engine.events import BarClosed
from engine.runtime.live import Live
from tests.commands.kit import as_json, engine, trades_csv
from tests.live.kit import assert_replays, of, serving, trade

CROSSING = StrategyConfig(
    use="engine.strategies.crossover:Crossover", params={"fast": 2, "slow": 3, "interval": "1s"}
)
FAST = Config(
    strategies=(CROSSING,),
    bars=BarsConfig(intervals=("1s", "5s"), grace_ms=100),
    data=DataConfig(warmup_bars=0),
)


async def test_q01_a_session_at_two_thousand_times_real_time_loses_nothing(
    paced_clock: Clock, tmp_path: Path
) -> None:
    async def script(live: Live) -> None:
        while live.sequencer.seq <= 20_000:  # noqa: ASYNC110
            await trio.sleep(0.01)

    async with serving(speed=2000.0) as venue:
        result = await trade(tmp_path, venue, FAST, script, paper=True)
    assert result.last_seq > 20_000
    assert result.ingress_high_water < 65_536
    assert result.live_orders == 0
    assert assert_replays(tmp_path)[-1] == result.digest
    assert as_json(engine("project", tmp_path, "--db", tmp_path / "retape.db", "--check", "--json"))["equal"]


async def test_f09_a_recorded_tape_traded_live_gives_the_bars_of_the_day(
    paced_clock: Clock, tmp_path: Path
) -> None:
    """Complete bars equal those of the imported day."""
    source = trades_csv(tmp_path / "trades.csv")
    options = ["--venue", "binance", "--instrument", "BTCUSDT", "--price-decimals", 2, "--size-decimals", 8]
    imported = as_json(engine("import", source, *options, "--journal", tmp_path / "in", "--json"))
    assert imported["days"] == ["2022-01-15"]
    assert imported["trades"] == 3000
    day = tmp_path / "in" / "2022-01-15"
    run = as_json(engine("backtest", day, "--out", tmp_path / "run", "--json"))
    assert run["trades"] == 3000

    async def script(live: Live) -> None:
        await trio.sleep(8)

    root = tmp_path / "journal"
    async with serving(day=day, clock="tape", speed=60.0) as venue:
        await trade(root, venue, Config(), script, paper=True)
    assert_replays(root)
    assert_replays(tmp_path / "run")
    expected, live = last_revisions(tmp_path / "run"), last_revisions(root)
    covered = {key: bar for key, bar in live.items() if not bar.incomplete}
    assert len(covered) >= 3
    for key, bar in covered.items():
        for field in ("open", "high", "low", "close", "volume", "trades"):
            assert getattr(bar, field) == getattr(expected[key], field), (key, field)


async def test_a_session_survives_the_end_of_a_tape(paced_clock: Clock, tmp_path: Path) -> None:
    """The recorded day ends before the session does: bars without trades close by the clock."""
    source = trades_csv(tmp_path / "t.csv", 300)
    options = ["--venue", "x", "--instrument", "AAA", "--journal", tmp_path / "in"]
    assert engine("import", source, *options).code == 0
    root = tmp_path / "j"

    async def script(live: Live) -> None:
        await trio.sleep(9)

    async with serving(day=tmp_path / "in" / "2022-01-15", clock="tape", speed=15.0) as venue:
        result = await trade(root, venue, Config(), script, paper=True)
    assert result.days == ["2022-01-15"]
    bars = of(BarClosed, root)
    assert any(bar.trades > 0 for bar in bars)
    assert any(bar.trades == 0 for bar in bars)
    assert_replays(root)


def last_revisions(root: Path) -> dict[tuple[int, int], BarClosed]:
    """Return the last revision of each bar."""
    return {(bar.interval_ns, bar.start_ns): bar for bar in of(BarClosed, root)}

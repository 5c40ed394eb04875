"""Records the golden days of today's engine: `python -m tests.golden.record`, in the folder of the project.

A session with real orders on the sandbox, with faults, across midnight, and a backtest across two midnights
of the sandbox's market. Time is virtual, so a run takes as long as its computation. Replaces both journals
and `recorded.json`, their digests, which `test_golden.py` reads. Run it when a change that alters results on
purpose is complete.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from unittest.mock import patch

import msgspec
import trio

import replay
from adapters.sandbox.market import synthetic_tape
from engine.clock import SECOND_NS, parse_iso
from engine.config import (
    BarsConfig,
    Config,
    DataConfig,
    FlowConfig,
    PaperConfig,
    RiskConfig,
    StrategyConfig,
    VenueConfig,
)
from engine.events import ActorFailed, Event, OrderFilled, OrderUnknown, SessionStarted, StopChanged
from engine.journal import list_days, seal_day
from engine.runtime.live import Live
from tests.live.kit import ACCOUNT, of, serving, trade
from tests.pacing import VirtualTime, make_clock
from tests.replay.kit import stopped, write_journal

HERE = Path(__file__).parent
RECORDED = HERE / "recorded.json"
LIVE = "orders-with-faults"
BACKTEST = "managed-backtest"

LIVE_FROM_NS = parse_iso("2025-03-08T23:57:00Z")
SPEED = 20.0
SECONDS = 18.0
FAULTS = (
    "lost-reply:0.1@exchange,swallow:0.05@exchange,5xx:0.1@exchange,"
    "drop:0.1@user,duplicate:0.1,cut:0.01@user,cut:0.001@market"
)

WINDOWS = tuple(map(parse_iso, ("2025-05-30T23:56:00Z", "2025-05-31T23:56:00Z")))
WINDOW_NS = 8 * 60 * SECOND_NS
MARKETS = ("BTC", "ETH")

STRATEGIES = (
    StrategyConfig(use="tests.golden.traders_2:Verbs"),
    StrategyConfig(use="tests.golden.traders_2:Rival", on_failure="quarantine"),
    StrategyConfig(use="tests.golden.traders_2:Fails", instruments=("BTC",), on_failure="quarantine"),
)


def main() -> None:
    """Record both journals into a temporary folder, check them, and replace the old ones."""
    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        made = {LIVE: Path(scratch) / LIVE, BACKTEST: Path(scratch) / BACKTEST}
        _backtest(made[BACKTEST], Path(scratch) / "data")
        with patch("engine.clock.time", VirtualTime(LIVE_FROM_NS)):
            trio.run(_live, made[LIVE], clock=make_clock())
        for name, root in made.items():
            digests |= _checked(name, root)
            shutil.rmtree(HERE / name, ignore_errors=True)
            shutil.copytree(root, HERE / name, ignore=shutil.ignore_patterns("*.db*", "LOCK"))
    RECORDED.write_text(json.dumps(digests, indent=2) + "\n", encoding="utf-8")


async def _live(root: Path) -> None:
    settings = Config(
        mode="live",
        instruments=MARKETS,
        strategies=STRATEGIES,
        bars=BarsConfig(intervals=("5s", "1m")),
        risk=RiskConfig(max_orders_per_minute=0),
        data=DataConfig(warmup_bars=0, check_minutes=1),
        venue=VenueConfig(network="sandbox", account=ACCOUNT, answer_ms=500, expires_ms=2000),
    )
    async with serving(speed=SPEED, maker=True, faults=FAULTS, seed=11) as venue:

        async def script(_: Live) -> None:
            await trio.sleep(SECONDS)
            venue.sandbox.faults.disarm()
            await trio.sleep(3)

        await trade(root, venue, settings, script)


def _backtest(root: Path, data: Path) -> None:
    config = Config(
        strategies=STRATEGIES,
        bars=BarsConfig(intervals=("5s", "1m"), activity=("tick:50", "imbalance:1@BTC")),
        paper=PaperConfig(latency_ms=150, slippage_bps=1, fill_on_touch=True),
        flow=FlowConfig(footprint=("1m",)),
        seed=5,
    )
    write_journal(data, [list(_market())])
    replay.backtest([data], config, out=root)


def _market() -> Iterator[Event]:
    """Yield the inputs of a session on the sandbox's market, some minutes before and after two midnights."""
    yield SessionStarted(
        WINDOWS[0], "00000000000000aa", "paper", "", "", "", (), Config(strategies=()).canonical()
    )
    for number, from_ns in enumerate(WINDOWS):
        tape = synthetic_tape(seed=3 + number, instruments=MARKETS, start_ns=from_ns, calm=True)
        if not number:
            # Without bars of silence: there are many windows between the two midnights.
            yield from (msgspec.structs.replace(listed, silence="none") for listed in tape.instruments)
        yield from takewhile(lambda event, end=from_ns + WINDOW_NS: event.recv_ns < end, tape.play(0))
    yield stopped(WINDOWS[-1] + WINDOW_NS)


def _checked(name: str, root: Path) -> dict[str, str]:
    """Seal the days of a journal, and return their digests. Exits if it does not show what it should."""
    kinds = [OrderFilled, StopChanged, ActorFailed, *([OrderUnknown] if name == LIVE else [])]
    counts = {kind.__name__: len(of(kind, root)) for kind in kinds}
    print(f"{name}: {counts}")
    days = list_days(root)
    if not all(counts.values()) or len(days) != (2 if name == LIVE else 3):
        raise SystemExit(f"{name}: unsuitable as golden days: {len(days)} days, {counts}")
    digests = {}
    for day in days:
        seal_day(day.path, newest=True)
        report = replay.verify(day.path)
        if not report.identical:
            raise SystemExit(
                f"{day.path}: {report.verdict}, seq {report.divergence and report.divergence.seq}"
            )
        digests[f"{name}/{day.path.name}"] = report.digest
    return digests


if __name__ == "__main__":
    main()

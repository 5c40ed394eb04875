"""The examples in `docs/strategies.md` run as shown."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.events import (
    BarClosed,
    BookRead,
    CancelRequested,
    ContextRead,
    EquityMarked,
    FundingPaid,
    InstrumentListed,
    LiquidationRead,
    LogWritten,
    ModifyRequested,
    OrderChanged,
    OrderRefused,
    OrderRequested,
    SignalRaised,
    StopRequested,
    TargetChanged,
    TargetSet,
    Trade,
    TrailRequested,
)
from engine.strategies import Strategy
from engine.strategies.actor import StrategyActor
from engine.strategies.params import set_parameter
from engine.values import BUY, SELL
from tests.actors.harness import MINUTE, Harness, T
from tests.commands.kit import SAMPLE, engine, environment
from tests.strategies.asking import booked, placed

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "strategies.md"


def blocks() -> list[str]:
    """Return the blocks of Python in the guide, in order."""
    return re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def examples() -> dict[str, str]:
    """Return the complete examples, by the file name in their first line."""
    return {text.split("\n", 1)[0][2:]: text for text in blocks() if text.startswith("# ")}


def documented(folder: Path) -> type[Strategy]:
    """Return a strategy class whose `on_trade` is the list of verbs, with the hooks shown below it."""
    verbs, hooks = (text for text in blocks() if not text.startswith(("# ", "bench", "from ")))
    lines = [
        "from engine.strategies import Bar, Book, Context, Fill, Funding, Liquidation, OrderView",
        "from engine.strategies import Strategy, Tick",
        "class Shown(Strategy):",
        "    def on_trade(self, trade: Tick) -> None:",
    ]
    lines += [f"        {line}" for line in verbs.splitlines()]
    lines += [f"    {line}" for line in hooks.splitlines()]
    return loaded(folder, "\n".join(lines), "Shown")


def loaded(folder: Path, text: str, name: str) -> type[Strategy]:
    """Return the strategy class of a source text."""
    file = folder / f"{name.lower()}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name.lower(), file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cls: type[Strategy] = getattr(module, name)
    return cls


LISTED = InstrumentListed(T, 1, "sim", "BTC", 1, 5, price_figures=5)
EQUITY = EquityMarked(T, 2, 0, 0, 0, 10_000_000)
"""100,000 of quote currency."""


def shown(folder: Path) -> Harness:
    on = Harness(StrategyActor(documented(folder), "mine", {}), {1: LISTED})
    on.send(EQUITY)
    return on


def test_each_verb_of_the_guide_requests_what_its_comment_says(tmp_path: Path) -> None:
    on = shown(tmp_path)
    line, *emitted = on.send(Trade(T, T, 1, 950_000, 1, BUY))
    assert line == LogWritten(T, "mine", "that was all", 1)
    assert [type(one) for one in emitted] == [
        *[TargetSet] * 3,
        *[OrderRequested] * 8,
        *[StopRequested] * 2,
        *[TrailRequested] * 2,
        *[CancelRequested] * 10,
    ]
    held, half, none = emitted[:3]
    assert (held.size, half.size, none.withdrawn) == (10_000, 50_000 * 10**5 // 95_000, True)
    requests = [one for one in emitted if isinstance(one, OrderRequested)]
    orders = [one.terms for one in requests]
    assert [one.side for one in orders] == [BUY] * 4 + [SELL] + [BUY] * 2 + [SELL]
    assert [one.limit for one in orders] == [0, 950_000, 950_000, 950_000, 990_000, 0, 0, 0]
    assert [one.tif for one in orders[:4]] == ["Gtc", "Gtc", "Ioc", "Alo"]
    assert [one.reduce_only for one in orders].index(True) == 4
    assert orders[1].size == 5000 * 10**5 // 95_000
    assert requests[5].children == (("sl", 930_000, 10_000), ("tp", 970_000, 5_000), ("tp", 990_000, 5_000))
    entries = [(one.trigger, one.trigger_price, one.group) for one in orders[6:]]
    assert entries == [("sl", 960_000, "breakout"), ("sl", 940_000, "breakout")]
    stops = [(one.kind, one.trigger_price, one.limit_price) for one in emitted[11:13]]
    assert stops == [("sl", 930_000, 0), ("tp", 990_000, 989_000)]
    assert [timer.key for timer in on.timers] == [f"expires {orders[3].handle}"]
    canceled = [one.handle for one in emitted if isinstance(one, CancelRequested)]
    assert canceled == [*(one.handle for one in orders), *(one.handle for one in emitted[11:13])]


def test_the_hooks_of_the_guide_do_what_they_show(tmp_path: Path) -> None:
    on = shown(tmp_path)
    (entry,) = on.send(bar(950_000))
    assert isinstance(entry, OrderRequested)
    assert (entry.terms.limit, entry.terms.size) == (940_500, 10_000 * 10**5 // 94_050)
    assert on.send(bar(950_000, 1)) == [], "its order works"
    handle = entry.terms.handle
    on.send(placed(handle=handle, size=10_000, limit=940_500))
    (change,) = on.send(OrderChanged(T, "0x1", "mine", 1, "PartiallyFilled", 4_000, 6_000))
    assert change == ModifyRequested(T, "mine", "", 1, 0, 951_000, "", handle)
    fee, trail = on.send(booked(BUY, 10_000, 940_500, fee=500_000, handle=handle))
    assert isinstance(trail, TrailRequested)
    assert (trail.size, trail.distance, fee.name, fee.value) == (10_000, 5_000, "fee", 0.5)
    (refusal,) = on.send(OrderRefused(T, 1, "mine", 1, BUY, 5, "margin", "needs 5"))
    assert refusal == LogWritten(T, "mine", "margin: needs 5", 1)
    (flat,) = on.send(bar(800_000, 2))
    assert flat == TargetSet(flat.at_ns, "mine", 1, 0, "loss"), "it has lost more than 1 % of 100,000"

    (spread,) = on.send(BookRead(T, T, 1, ((949_000, 1, 1),), ((951_000, 1, 1),)))
    assert isinstance(spread, SignalRaised)
    assert spread.value == 200.0
    on.send(flat, TargetChanged(T, "mine", 1, 5, 5, 0, "reached"))
    (flat,) = on.send(ContextRead(T, 1, 4, None, None, None, 3, None, None))
    assert flat == TargetSet(T, "mine", 1, 0, "high funding")
    forced = LiquidationRead(T, T, 1, SELL, 940_000, 2 * 10**5)
    assert on.send(forced) == [], "no context is followed yet"
    (part,) = on.send(ContextRead(T, 1, 4, None, None, None, 0, None, 80_000), forced)
    assert isinstance(part, SignalRaised)
    assert (part.name, part.value) == ("closed longs", 0.25)
    (paid,) = on.send(FundingPaid(T, T, 1, 5, 2, -5, 1))
    assert isinstance(paid, SignalRaised)
    assert paid.value == -0.05


def bar(close: int, number: int = 0) -> BarClosed:
    start = T + number * MINUTE
    return BarClosed(start + MINUTE, 1, MINUTE, start, close, close, close, close, 5, 7, "trade")


def test_the_example_of_on_set_takes_a_period_and_refuses_one_that_is_too_small(tmp_path: Path) -> None:
    (text,) = (text for text in blocks() if text.startswith("from "))
    strategy = StrategyActor(loaded(tmp_path, text, "Tunable"), "mine", {}).strategy
    assert set_parameter(strategy, "period", "9", again=False) == ("", "")
    assert set_parameter(strategy, "period", "1", again=False)[0] == "parameter"
    assert vars(strategy)["period"] == 9
    assert vars(strategy)["emas"]["AAA"] is not None


def test_there_are_three_examples_of_growing_size() -> None:
    sizes = [text.count("\n") for text in examples().values()]
    assert len(sizes) == 3
    assert sizes[0] < min(sizes[1:])
    assert max(sizes) <= 36


@pytest.mark.parametrize("name", examples())
def test_each_example_trades_on_the_sample_day_and_its_run_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    module = name.removesuffix(".py")
    (tmp_path / name).write_text(examples()[name], encoding="utf-8")
    result = engine("backtest", SAMPLE, "--strategy", f"{module}:{module.title()}", "--out", "out", "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert report["fills"] > 3
    # Of an order that turns the position, the part that opens was canceled in between, or is too small.
    assert report["refusals"].keys() <= {"turn", "min_value"}
    assert not any(note.startswith("strategy ") for note in report["notes"])
    assert engine("inspect", "out/2024-12-05", "--type", "ActorFailed", "--json").out == ""
    assert json.loads(engine("replay", "out/2024-12-05", "--json").out)["identical"] is True


def test_the_bench_in_the_guide_works_as_shown(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```python\n(bench = .*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    code = (
        f"{examples()['breakout.py']}\nfrom decimal import Decimal\nfrom engine.testing import Bench\n{shown}"
    )
    (tmp_path / "shown.py").write_text(code, encoding="utf-8")
    subprocess.run([sys.executable, "shown.py"], cwd=tmp_path, env=environment(), check=True, timeout=300)

"""The examples in `docs/strategies.md` run as shown."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.actors import Turn
from engine.events import (
    BookRead,
    ContextRead,
    FundingPaid,
    InstrumentListed,
    ModifyRequested,
    OrderChanged,
    OrderFilled,
    OrderModified,
    OrderRequested,
    SignalRaised,
    SubmitOrder,
    TargetSet,
    Trade,
    TrailRequested,
)
from engine.strategies import Strategy
from engine.strategies.actor import StrategyActor
from engine.values import BUY
from tests.actors.harness import Harness, T
from tests.commands.kit import SAMPLE, engine, environment

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "strategies.md"


def blocks() -> list[str]:
    """Return the blocks of Python in the guide, in order."""
    return re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


def examples() -> dict[str, str]:
    """Return the complete examples, by the file name in their first line."""
    return {text.split("\n", 1)[0][2:]: text for text in blocks() if text.startswith("# ")}


def documented(folder: Path) -> type[Strategy]:
    """Return a strategy class whose `on_trade` is the list of verbs, with the hooks shown below it."""
    verbs, hooks = (text for text in blocks() if not text.startswith(("# ", "bench")))
    lines = [
        "from engine.strategies import Book, Context, Fill, Funding, OrderView, Strategy, Tick",
        "class Shown(Strategy):",
        "    def on_trade(self, trade: Tick) -> None:",
    ]
    lines += [f"        {line}" for line in verbs.splitlines()]
    lines += [f"    {line}" for line in hooks.splitlines()]
    file = folder / "shown.py"
    file.write_text("\n".join(lines), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("shown", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    cls: type[Strategy] = module.Shown
    return cls


def test_the_examples_in_the_guide_emit_the_described_events(tmp_path: Path) -> None:
    actor = StrategyActor(documented(tmp_path), "mine", {})
    on = Harness(actor)
    listed = InstrumentListed(T, 1, "sim", "BTC", 1, 5, price_figures=5)
    actor.bind({1: listed}, Turn())
    emitted = on.send(Trade(T, T, 1, 950_000, 1, BUY))
    kinds = [type(one) for one in emitted]
    assert kinds == [TargetSet, *[OrderRequested] * 8, TrailRequested, TrailRequested]
    assert [one.tif for one in emitted if isinstance(one, OrderRequested)][:4] == ["Gtc", "Gtc", "Ioc", "Alo"]

    on.send(SubmitOrder(T, "0x1", "mine", 1, BUY, 5, 950_000, "Gtc", False))
    (change,) = on.send(OrderChanged(T, "0x1", "mine", 1, "New", 0, 5))
    assert change == ModifyRequested(T, "mine", "0x1", 1, 5, 951_000)
    on.send(OrderModified(T, T, "0x1", 1, 2, 5, 951_000))
    assert on.send(OrderChanged(T, "0x1", "mine", 1, "New", 0, 5)) == [], "the order is changed once"
    assert [type(one) for one in on.send(OrderFilled(T, T, "0x1", 1, BUY, 951_000, 5, 0, "taker", 1))] == [
        TrailRequested
    ]
    (spread,) = on.send(BookRead(T, T, 1, ((949_000, 1, 1),), ((951_000, 1, 1),)))
    assert isinstance(spread, SignalRaised)
    assert spread.value == 200.0
    (flat,) = on.send(ContextRead(T, 1, 4, None, None, None, 3, None, None))
    assert flat == TargetSet(T, "mine", 1, 0, "high funding")
    (paid,) = on.send(FundingPaid(T, T, 1, 5, 2, -5, 1))
    assert isinstance(paid, SignalRaised)
    assert paid.value == -0.05


def test_there_are_three_examples_of_growing_size() -> None:
    sizes = [text.count("\n") for text in examples().values()]
    assert len(sizes) == 3
    assert sizes == sorted(sizes)


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
    assert report["refused"] == 0
    assert engine("inspect", "out/2024-12-05", "--type", "ActorFailed", "--json").out == ""
    assert json.loads(engine("replay", "out/2024-12-05", "--json").out)["identical"] is True


def test_the_bench_in_the_guide_works_as_shown(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```python\n(bench = .*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    code = (
        f"{examples()['breakout.py']}\nfrom decimal import Decimal\nfrom engine.testing import Bench\n{shown}"
    )
    (tmp_path / "shown.py").write_text(code, encoding="utf-8")
    subprocess.run([sys.executable, "shown.py"], cwd=tmp_path, env=environment(), check=True, timeout=300)

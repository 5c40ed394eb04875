"""`engine check` finds decisions that depend on what came later, names the first, and passes honest ones."""

from __future__ import annotations

import json
import sys
from ast import literal_eval
from pathlib import Path
from typing import Any

import pytest

from engine.clock import SECOND_NS, day_start_ns, iso_text
from engine.loading.modules import own_modules
from engine.loading.strategies import load_strategy
from replay.tables import GrowingTables
from tests.commands.kit import SAMPLE, as_json, engine

MINUTE_NS = 60 * SECOND_NS
BEGIN_NS = day_start_ns("2024-01-01")
COUNT = 120
PRICES = [100 + (number * 37 % 23) for number in range(COUNT)]

HEAD = """
from engine.strategies import Bar, Strategy
{imports}

class Plant(Strategy):
    def on_start(self) -> None:
        self.closes = []

    def on_bar(self, bar: Bar) -> None:
        if bar.interval != "1m":
            return
        end_ns = bar.start_ns + 60_000_000_000
        self.closes.append(bar.close)
        wanted = False
"""
TAIL = """
        self.target(bar.market, "1" if wanted else 0)
"""

PLANTS = {
    "the next close in a table": (
        "from prices import CLOSES",
        "        wanted = CLOSES.get(end_ns + 60_000_000_000, 0) > bar.close",
        "later rows of a table",
    ),
    "the highest close of a table of rows": (
        "from prices import ROWS",
        "        wanted = max(row[1] for row in ROWS) > bar.close + 15",
        "later rows of a table",
    ),
    "closes beside a list of their times": (
        "from prices import ENDS, LASTS",
        """
        wanted = any(at > end_ns and close > bar.close for at, close in zip(ENDS, LASTS))""",
        "later rows of a table",
    ),
    "resampled bars that an object of a module keeps": (
        "from prices import QUARTERS",
        """
        wanted = QUARTERS.close_of(bar.start_ns) > bar.close
        QUARTERS.take(bar.start_ns, bar.close)""",
        "state outside",
    ),
    "the newest close that a function keeps": (
        "from prices import newest",
        """
        wanted = newest.closes.get(end_ns + 60_000_000_000, 0) > bar.close
        newest.closes[end_ns] = bar.close""",
        "state outside",
    ),
    "what later days list": (
        "",
        "        wanted = bar.listed.price_scale > 1",
        "later data",
    ),
}
HONEST = {
    "an average": ("", "        wanted = bar.close > sum(self.closes[-5:]) / 5"),
    "a table until now": (
        "from prices import CLOSES",
        "        wanted = CLOSES.get(end_ns - 60_000_000_000, 0) > bar.close",
    ),
    "columns until now": (
        "from prices import ENDS, LASTS",
        """
        known = [close for at, close in zip(ENDS, LASTS) if at < end_ns]
        wanted = bool(known) and known[-1] > bar.close""",
    ),
    "a table by hour of the day": (
        "from prices import HOURS",
        "        wanted = HOURS[bar.start_ns // 3_600_000_000_000 % 24] > 3",
    ),
    "times that are known before": (
        "from prices import HALVINGS",
        "        wanted = any(end_ns < at for at in HALVINGS)",
    ),
}
MODULE = """

CLOSES = {closes}
ROWS = [(at, close) for at, close in CLOSES.items()]
ENDS, LASTS = list(CLOSES), tuple(CLOSES.values())
HOURS = {{hour: hour % 5 for hour in range(24)}}
HALVINGS = [{later}]


class Quarters:
    def __init__(self):
        self.rows = {{}}

    def close_of(self, start_ns):
        return self.rows.get(start_ns // 900_000_000_000, 0)

    def take(self, start_ns, close):
        self.rows[start_ns // 900_000_000_000] = close


def newest():
    pass


newest.closes = {{}}
QUARTERS = Quarters()
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with strategies and two imported days; the second one has prices with more decimals."""
    root = tmp_path_factory.mktemp("check")
    for day, decimals in (("2024-01-01", 1), ("2024-01-02", 3)):
        at_ms = day_start_ns(day) // 1_000_000
        rows = [
            ",".join(
                [
                    str(at_ms + number * 60_000),
                    *(f"{price + more:.{decimals}f}" for more in (0, 1, -1, 0.005 * (decimals > 1))),
                    "5",
                ]
            )
            for number, price in enumerate(PRICES)
        ]
        file = root / f"{day}.csv"
        file.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")
        done = engine("import", file, "--venue", "made", "--instrument", "AAA", "--journal", root / "journal")
        assert done.code == 0, done.err
    closes = {BEGIN_NS + (number + 1) * MINUTE_NS: float(price) for number, price in enumerate(PRICES)}
    (root / "prices.py").write_text(MODULE.format(closes=closes, later=BEGIN_NS + 10**16))
    return root


def plant(project: Path, imports: str, decision: str) -> None:
    text = HEAD.format(imports=imports) + decision + TAIL
    (project / "plant.py").write_text(text)


def check(project: Path, *more: object, days: str = "journal") -> tuple[int, dict[str, Any], str]:
    done = engine("check", "plant:Plant", days, "--json", *more, cwd=project)
    return done.code, json.loads(done.out) if done.out else {}, done.err


@pytest.mark.parametrize("name", PLANTS)
def test_look_ahead_is_found_and_its_first_decision_named(project: Path, name: str) -> None:
    imports, decision, cause = PLANTS[name]
    plant(project, imports, decision)
    code, found, said = check(project)
    assert (code, found["cause"]) == (3, cause), said
    assert f"look-ahead by {cause} at {found['at']} (seq {found['seq']})" in said
    assert "without it:" in said
    # The seq is that of a recorded run, so its causes can be shown there.
    out = project / f"run-{list(PLANTS).index(name)}"
    run = engine("backtest", "journal", "--strategy", "plant:Plant", "--out", out, cwd=project)
    assert run.code == 0, run.err
    day = out / iso_text(found["at_ns"])[:10]
    why = engine("why", day, found["seq"]).out.splitlines()
    assert why[-1] == found["decision"]
    assert why[-1].startswith(found["at"])


def test_the_first_decision_that_looks_ahead_is_the_one_named(project: Path) -> None:
    """Only from the bar that ends at 00:50 on the strategy reads the table."""
    begin = BEGIN_NS + 50 * MINUTE_NS
    plant(
        project,
        "from prices import CLOSES",
        "        self.plot('close', bar.close)\n"
        f"        wanted = end_ns >= {begin} and CLOSES.get(end_ns + 60_000_000_000, 0) > bar.close",
    )
    code, found, _ = check(project)
    assert code == 3
    expected = next(number for number in range(49, COUNT) if PRICES[number + 1] > PRICES[number])
    assert found["at_ns"] == BEGIN_NS + (expected + 1) * MINUTE_NS
    assert found["tables"] == ["plant.CLOSES", "prices.ROWS", "prices.ENDS", "prices.LASTS"]


@pytest.mark.parametrize("name", HONEST)
def test_honest_strategies_pass(project: Path, name: str) -> None:
    plant(project, *HONEST[name])
    code, found, said = check(project)
    assert (code, found["cause"]) == (0, ""), said
    assert found["decisions"] > 0
    assert found["runs"] > 2


def test_honest_strategies_pass_on_trades_with_drawn_latencies(tmp_path: Path) -> None:
    (tmp_path / "drawn.toml").write_text('[simulated]\norder_ms = "uniform 5 900"\n')
    more = ("--config", tmp_path / "drawn.toml", "--param", "fast=3", "--cuts", 1)
    found = as_json(engine("check", "engine.strategies.crossover:Crossover", SAMPLE, *more, "--json"))
    assert found["cause"] == ""
    assert found["decisions"] > 10


def test_a_strategy_that_decides_nothing_is_not_called_honest(project: Path) -> None:
    plant(project, "", "        return")
    done = engine("check", "plant:Plant", "journal", cwd=project)
    assert done.code == 0
    assert "decided nothing on these days, so nothing was compared" in done.out


def test_a_strategy_that_fails_ends_the_check(project: Path) -> None:
    plant(project, "", "        wanted = 1 / 0")
    code, found, said = check(project)
    assert (code, found) == (7, {})
    assert "nothing can be checked after that" in said


def test_what_is_not_there_is_refused(project: Path) -> None:
    assert engine("check", "plant:Nothing", "journal", cwd=project).code == 2
    plant(project, *HONEST["an average"])
    done = engine("check", "plant:Plant", "no-such-day", cwd=project)
    assert (done.code, "there is no such day" in done.err) == (2, True)


def test_the_help_teaches() -> None:
    text = engine("check", "--help").out
    assert "Exit code 3" in " ".join(text.split())
    assert "engine check engine.strategies.crossover:Crossover journal/2024-12-05" in text


@pytest.mark.parametrize(
    ("table", "left"),
    [
        ("{1704067200: 1, 1704067260: 2}", "{1704067200: 1}"),
        ("{1704067200000: 1, 1704067260000: 2}", "{1704067200000: 1}"),
        ("{'2024-01-01T00:00:00Z': 1, '2024-01-01T00:01': 2}", "{'2024-01-01T00:00:00Z': 1}"),
        ("{'a': [(1704067200.0, 1), (1704067260.5, 2)], 'b': 5}", "{'a': [(1704067200.0, 1)], 'b': 5}"),
        ("((1704067200000000, 1), (1704067260000000, 2))", "[(1704067200000000, 1)]"),
        ("[{'at': '2024-01-01', 'x': 1}, {'at': '2024-01-02', 'x': 2}]", "[{'at': '2024-01-01', 'x': 1}]"),
        ("{'at': [1704067200, 1704067260], 'x': [5, 6], 'y': 7}", "{'at': [1704067200], 'x': [5], 'y': 7}"),
        ("[['2024-01-01', '2024-01-02'], [5, 6]]", "[['2024-01-01'], [5]]"),
        ("{'at': [1704067200, 1704067260], 'x': [5, 6, 7]}", None),
        ("{'at': [1704067260, 1704067200], 'x': [5, 6]}", None),
        ("[1, 2, 3]", None),
        ("{'x': 1704067260}", None),
        ("{20240101: 1, 20240102: 2}", None),
        ("[]", None),
        ("[(1704067200, 1)]", None),
    ],
)
def test_what_a_table_by_time_is(tmp_path: Path, table: str, left: str | None) -> None:
    text = f"from engine.strategies import Strategy\nTABLE = {table}\nclass Plant(Strategy):\n    pass\n"
    (tmp_path / "plant.py").write_text(text)
    with own_modules(tmp_path):
        load_strategy("plant:Plant")
        tables = GrowingTables(["plant"])
        values = vars(sys.modules["plant"])
        tables.reveal(BEGIN_NS)
        assert values["TABLE"] == literal_eval(table if left is None else left)
        assert tables.later(BEGIN_NS) == (() if left is None else ("plant.TABLE",))
        tables.reveal(BEGIN_NS + 10**15)
        assert values["TABLE"] == (
            list(literal_eval(table)) if table.startswith("((") else literal_eval(table)
        )

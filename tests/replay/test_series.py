"""Series of open interest, funding and liquidations: exact, and by window."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import SECOND_NS
from engine.events import ContextRead, Event, FundingRead, LiquidationRead, OpenInterestRead
from engine.values import BUY, SELL
from replay.series import KINDS, series_of
from tests.commands.kit import engine
from tests.profiles import examples
from tests.replay.kit import AAA, BBB, NOON
from tests.replay.test_backtest import recorded

MINUTE = 60 * SECOND_NS
FORCED = st.tuples(
    st.integers(0, 600),
    st.sampled_from((AAA, BBB)),
    st.sampled_from((BUY, SELL)),
    st.integers(900, 1100),
    st.integers(1, 9),
)


def context(
    at_s: int, interest: int | None, funding: int | None, *, scale: int = 4, number: int = AAA
) -> ContextRead:
    return ContextRead(NOON + at_s * SECOND_NS, number, scale, None, None, None, funding, None, interest)


def rows(folders: list[Path], kind: str) -> list[dict[str, Any]]:
    return [row for _, row in series_of(folders, kind, MINUTE)]


DATA: list[Event] = [
    context(1, 50_000, 12),
    context(20, 700_000, -3, scale=5),
    context(59, 49_000, None),
    context(61, 51_000, 5, number=BBB),
    context(130, None, 20),
    FundingRead(NOON + 131 * SECOND_NS, NOON + 131 * SECOND_NS, AAA, 8, 1250, 0),
    FundingRead(NOON + 132 * SECOND_NS, NOON + 132 * SECOND_NS, AAA, 9, -250, 0),
    FundingRead(NOON + 133 * SECOND_NS, NOON + 133 * SECOND_NS, AAA, 9, 77, 0, per_unit=True),
]


def test_states_are_followed_and_settled_rates_added_up(tmp_path: Path) -> None:
    days = recorded(tmp_path, data=DATA)
    interest = rows(days, "open-interest")
    assert [(one["open"], one["high"], one["low"], one["close"], one["count"]) for one in interest] == [
        ("5", "7", "4.9", "4.9", 3),
        ("5.1", "5.1", "5.1", "5.1", 1),
    ]
    first, other, last, money = sorted(rows(days, "funding"), key=lambda one: one["start_ns"])
    assert (first["open"], first["high"], first["low"], first["settled"]) == (
        "0.0012",
        "0.0012",
        "-0.00003",
        None,
    )
    assert other["close"] == "0.0005"
    assert (last["close"], last["settled"]) == ("0.002", "0.00001225")
    assert last["start_ns"] == money["start_ns"] == NOON // MINUTE * MINUTE + 2 * MINUTE
    assert [one["unit"] for one in (first, other, last, money)] == [*["fraction"] * 3, "money"]
    assert (money["open"], money["count"], money["settled"]) == (None, 0, "0.000000077"), (
        "money is no fraction"
    )
    assert not any("unit" in one for one in interest)


def test_open_interest_of_the_past_fills_the_windows_without_any(tmp_path: Path) -> None:
    past = [
        OpenInterestRead(NOON + at * SECOND_NS, NOON + from_s * SECOND_NS, AAA, 12, amount * 10**12)
        for at, from_s, amount in ((140, -30, 8), (141, -55, 9), (142, 30, 77))
    ]
    shown = rows(recorded(tmp_path, data=[*DATA, *past]), "open-interest")
    assert [(one["instrument"], one["open"], one["close"], one["count"]) for one in shown] == [
        ("AAA", "9", "8", 2),
        ("AAA", "5", "4.9", 3),
        ("BBB", "5.1", "5.1", 1),
    ]


def test_a_rate_that_was_settled_without_a_running_one_has_a_row(tmp_path: Path) -> None:
    (row,) = rows(recorded(tmp_path, data=[DATA[5]]), "funding")
    assert (row["open"], row["count"], row["settled"]) == (None, 0, "0.0000125")


@examples(4)
@given(plan=st.lists(FORCED, min_size=1, max_size=40))
def test_liquidations_add_up_by_window_and_by_level(
    tmp_path_factory: pytest.TempPathFactory, plan: list[Any]
) -> None:
    plan = sorted(plan, key=lambda one: one[0])
    data: list[Event] = [
        LiquidationRead(
            NOON + at * SECOND_NS, NOON + at * SECOND_NS, number, side, price, size, at, at % 7 == 0
        )
        for at, number, side, price, size in plan
    ]
    days = recorded(tmp_path_factory.mktemp("days"), data=data)
    found = series_of(days, "liquidations", MINUTE)
    wanted: Counter[Any] = Counter()
    for at, number, side, _, size in plan:
        wanted[number, (NOON + at * SECOND_NS) // MINUTE * MINUTE, side] += size
    for listed, row in found:
        for name, side in (("longs", SELL), ("shorts", BUY)):
            exact = Decimal(wanted.pop((listed.instrument, row["start_ns"], side), 0)).scaleb(
                -listed.size_scale
            )
            assert Decimal(row[name]) == exact
    assert not wanted
    assert sum(row["count"] for _, row in found) == len(plan)
    assert any(row["sampled"] for _, row in found) == any(at % 7 == 0 for at, *_ in plan)
    levels = series_of(days, "liquidation-levels", MINUTE)
    for listed, row in found:
        parts = [one for other, one in levels if (other, one["start_ns"]) == (listed, row["start_ns"])]
        assert len({one["price"] for one in parts}) == len(parts)
        for name in ("longs", "shorts", "count"):
            assert sum(Decimal(one[name]) for one in parts) == Decimal(row[name])


def test_the_levels_of_liquidations_are_as_wide_as_the_configuration_says(tmp_path: Path) -> None:
    prices = (1_234_567, 1_234_999, 1_239_000)
    forced = [LiquidationRead(NOON + at, NOON + at, AAA, SELL, price, 5) for at, price in enumerate(prices)]
    days = recorded(tmp_path / "j", data=[*forced])
    config = tmp_path / "levels.toml"
    config.write_text('[flow.level]\nAAA = "0.1"\n', encoding="utf-8")
    done = engine("bars", *days, "--kind", "liquidation-levels", "--config", config, "--json")
    assert done.code == 0, done.err
    shown = [json.loads(line) for line in done.out.splitlines()]
    assert [(row["price"], row["count"]) for row in shown] == [("123.4", 2), ("123.9", 1)]
    assert len(rows(days, "liquidation-levels")) == 3, "by default a level is about 0.01 % of the first price"


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_prints_each_kind_as_a_table_json_and_csv(tmp_path: Path, kind: str) -> None:
    forced = LiquidationRead(NOON + 140 * SECOND_NS, NOON + 140 * SECOND_NS, AAA, SELL, 1000, 5, "x", True)
    days = recorded(tmp_path / "j", data=[*DATA, forced])
    done = engine("bars", *days, "--kind", kind, "--json", "--csv", tmp_path / "rows.csv")
    assert done.code == 0, done.err
    shown = [json.loads(line) for line in done.out.splitlines()]
    assert shown == rows(days, kind)
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == len(shown) + 1
    table = engine("bars", *days, "--kind", kind)
    assert len(table.out.splitlines()) == len(shown) + 1


def test_days_without_such_data_say_what_to_do(tmp_path: Path) -> None:
    done = engine("bars", *recorded(tmp_path), "--kind", "liquidations")
    assert (done.code, "must be in data.channels" in done.err) == (0, True)

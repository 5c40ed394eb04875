"""The order of fills that have one millisecond."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from adapters.hyperliquid.gateway.account_wire import WireFill
from adapters.hyperliquid.gateway.succession import in_succession


def fill(number: int, size: str, start: str | None, *, time: int = 5, coin: str = "BTC") -> WireFill:
    side = "A" if size.startswith("-") else "B"
    return WireFill(
        coin=coin,
        px="100",
        sz=size.lstrip("-"),
        side=side,  # type: ignore[arg-type]
        time=time,
        oid=7,
        tid=number,
        crossed=True,
        fee="0",
        start_position=start,
    )


def test_a_snapshot_is_read_from_its_end() -> None:
    rows = [fill(2, "-0.5", None), fill(1, "-0.5", None), fill(0, "1", None, time=4)]
    assert [row.tid for row in in_succession(rows, newest_first=True)] == [0, 1, 2]


def test_a_fill_that_takes_the_position_through_nothing_comes_where_it_happened() -> None:
    """Long 0.5: 0.51 is sold, then 0.49."""
    rows = [fill(2, "-0.49", "-0.01"), fill(1, "-0.51", "0.5")]
    assert [row.tid for row in in_succession(rows)] == [1, 2]


def test_without_the_positions_fills_stay_as_they_were_given() -> None:
    rows = [fill(2, "-0.49", None), fill(1, "-0.51", "0.5")]
    assert in_succession(rows) == rows


def test_what_does_not_follow_from_another_fill_is_kept() -> None:
    rows = [fill(1, "1", "0"), fill(2, "1", "7")]
    assert {row.tid for row in in_succession(rows)} == {1, 2}


@given(st.lists(st.integers(-9, 9).filter(bool), min_size=1, max_size=8), st.randoms())
def test_every_chain_is_found_whatever_the_order(sizes: list[int], random: Random) -> None:
    """Sums that are met only once have one order; else there is more than one, and any of them is right."""
    held, rows = Decimal(0), []
    for number, size in enumerate(sizes):
        rows.append(fill(number, str(size), str(held)))
        held += size
    starts = [row.start_position for row in rows]
    mixed = list(rows)
    random.shuffle(mixed)
    found = in_succession(mixed)
    assert sorted(row.tid for row in found) == list(range(len(sizes)))
    if len({*starts, str(held)}) == len(starts) + 1:
        assert [row.tid for row in found] == list(range(len(sizes)))

"""However trades are split into files and journals, bars and money are those of one import of all."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.clock import day_start_ns
from tests.profiles import examples
from tests.replay.imports import Row, bars, imported, play, results

BEGIN_MS = day_start_ns("2024-01-06") // 1_000_000
"""A Saturday: the week changes within the data."""

NAMES = ("AAA", "BBB")

rows = st.lists(
    st.tuples(
        st.integers(0, 3 * 24 * 60).map(lambda minute: minute * 60_000 + minute % 7 * 1000),
        st.sampled_from(["100", "100.5", "101.25", "99", "102.125"]),
        st.sampled_from(["1", "2.5", "0.001", "10"]),
    ),
    min_size=2,
    max_size=40,
    unique_by=lambda row: row[0],
)
"""Trades of one instrument within three days."""


def at_times(found: list[Row]) -> list[Row]:
    return sorted((BEGIN_MS + ms, price, size) for ms, price, size in found)


def outcome(folders: list[Path]) -> tuple[Any, ...]:
    return results(play(folders, "Once")), *(
        bars(folders, interval, unclosed=True) for interval in ("1m", "1h", "1d", "1w")
    )


@examples(0.15)
@given(
    trades=st.tuples(rows, rows),
    cuts=st.tuples(st.sets(st.integers(1, 39), max_size=4), st.sets(st.integers(1, 39), max_size=4)),
    decimals=st.lists(st.sampled_from([None, 3, 4, 6]), min_size=10, max_size=10),
    journals=st.lists(st.integers(0, 3), min_size=10, max_size=10),
    silence=st.sampled_from(["flat", "none"]),
    seed=st.integers(0, 2**32),
)
@example(
    trades=([(0, "100", "1"), (60_000, "100.5", "0.001")], [(0, "99", "1"), (60_000, "102.125", "1")]),
    cuts=({1}, {1}),
    decimals=[None, 6, *[None] * 8],
    journals=[0, 1, 2, 3, *[3] * 6],
    silence="flat",
    seed=1,
)
def test_any_split_gives_the_bars_and_the_money_of_one_import(
    tmp_path_factory: pytest.TempPathFactory,
    trades: tuple[list[Row], list[Row]],
    cuts: tuple[set[int], set[int]],
    decimals: list[int | None],
    journals: list[int],
    silence: str,
    seed: int,
) -> None:
    """The parts of an instrument go into journals in their order, the imports in any order."""
    root = tmp_path_factory.mktemp("split")
    chance = random.Random(seed)
    parts: list[tuple[int, str, list[Row], int | None]] = []
    for name, found, at in zip(NAMES, trades, cuts, strict=True):
        ordered = at_times(found)
        places = [0, *sorted(cut for cut in at if cut < len(ordered)), len(ordered)]
        begin, end = len(parts), len(parts) + len(places) - 1
        numbers, scales = sorted(journals[begin:end]), decimals[begin:end]
        pieces = [ordered[first:last] for first, last in pairwise(places)]
        parts += zip(numbers, [name] * len(pieces), pieces, scales, strict=True)
        imported(root / "whole", ordered, name, silence=silence, **options(scales))
    chance.shuffle(parts)
    for number, name, piece, scale in parts:
        imported(root / f"part {number}", piece, name, silence=silence, **options([scale]))
    split = sorted(root.glob("part */20*"))
    chance.shuffle(split)
    assert outcome(split) == outcome(sorted(root.glob("whole/20*")))


def options(scales: list[int | None]) -> dict[str, int]:
    """Return the options of an import with the finest of the scales that are given."""
    given = [one for one in scales if one is not None]
    return {"price_decimals": max(given), "size_decimals": max(given)} if given else {}

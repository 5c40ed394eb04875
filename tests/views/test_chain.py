"""Chains of causes: from a fill back to the trade that caused it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.events import BarClosed, OrderApproved, OrderFilled, OrderRequested, SubmitOrder, TargetSet, Trade
from engine.journal import list_days
from engine.records import read_records
from engine.views.chain import chain_of
from tests.replay.kit import EVE, NOON, batches, config_of, opening, steady, use, write_journal

CROSSING = config_of(use("Crossover", params={"fast": 2, "slow": 3, "interval": "1s", "notional": "50"}))


def test_the_chain_of_a_fill_leads_back_to_the_trade_that_closed_the_bar(tmp_path: Path) -> None:
    inputs = opening(CROSSING, NOON) + steady(400, NOON)
    write_journal(tmp_path, batches(inputs, range(0, len(inputs), 30)))
    folder = tmp_path / "2024-12-05"
    fills = [seq for seq, _, event in read_records(folder) if isinstance(event, OrderFilled)]
    assert fills
    for seq in fills:
        chain = chain_of(folder, seq)
        kinds = [type(event) for _, _, event in chain]
        assert chain[0][1] == 0
        steps = [BarClosed, TargetSet, OrderRequested, OrderApproved, SubmitOrder, Trade, OrderFilled]
        assert kinds[-7:] == steps
        assert kinds[0] is Trade
        # The trade before the fill is the one that let it happen; the others are each other's cause.
        assert chain[-2][1] == 0
        for (before, _, _), (_, cause, _) in itertools.pairwise([*chain[:-2], chain[-1]]):
            assert cause == before


def test_every_chain_ends_at_an_input_or_at_the_days_opening(tmp_path: Path) -> None:
    inputs = opening(CROSSING, EVE) + steady(200, EVE)
    write_journal(tmp_path, batches(inputs, range(0, len(inputs), 30)))
    for day in list_days(tmp_path):
        records = list(read_records(day.path))
        for seq, _, _ in records[:: len(records) // 20]:
            chain = chain_of(day.path, seq)
            assert chain[-1][0] == seq
            assert chain[0][1] == 0 or chain[0][1] < records[0][0]


def test_a_seq_of_another_day_is_refused_with_the_range_of_the_day(tmp_path: Path) -> None:
    write_journal(tmp_path, [opening(CROSSING, NOON)])
    with pytest.raises(UsageError, match="has no seq 9; it holds 1 to 4"):
        chain_of(tmp_path / "2024-12-05", 9)

"""An instrument listed again with finer scales: everything goes on with the right value.

A session in which that happens at a random moment is compared with one that had the fine scales from the
beginning: the records, in decimals, and the state of every actor, bit for bit, right after the listing and at
the end. The steps of the grid are the same in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import Phase, given
from hypothesis import strategies as st

from engine.stores.rows.builder import RowBuilder
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import as_text
from engine.stores.store import Row
from tests.orders.sequences import AAA, BBB, Plan, plan, real_plan
from tests.profiles import examples
from tests.replay.kit import Memory
from tests.replay.relisting_kit import (
    Finer,
    Played,
    assert_replays,
    decimals,
    exact,
    play,
    recorded,
    relisted,
    states,
)

PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""A plan is found by its number, so there is nothing to shrink."""

numbers = st.integers(0, 10**9)
shares = st.floats(0, 0.95)
gains = st.fixed_dictionaries(
    {AAA: st.builds(Finer, st.integers(0, 3), st.integers(0, 3)),
     BBB: st.builds(Finer, st.integers(0, 2), st.integers(0, 4))}
)  # fmt: skip


@examples(0.5, phases=PHASES)
@given(numbers, shares, gains, st.booleans())
def test_a_paper_session_goes_on_as_if_the_scales_had_been_fine_from_the_beginning(
    number: int, share: float, finer: dict[int, Finer], follow: bool
) -> None:
    _assert_same(exact(plan(number)), share, finer, follow=follow)


@examples(0.3, phases=PHASES)
@given(numbers, shares, gains, st.booleans())
def test_a_session_with_real_orders_does_too(
    number: int, share: float, finer: dict[int, Finer], follow: bool
) -> None:
    _assert_same(exact(real_plan(number)), share, finer, follow=follow)


def _assert_same(of: Plan, share: float, finer: Mapping[int, Finer], *, follow: bool) -> None:
    inputs = recorded(of, share)
    fine = play(relisted(inputs, finer, first=True), follow=follow)
    found = play(relisted(inputs, finer, first=False), follow=follow)
    _compare(decimals(found.memory.all()), decimals(fine.memory.all()))
    _compare_states(found, fine)
    assert _rows(found.memory) == _rows(fine.memory)
    assert_replays(found.memory)


def _compare(found: list[dict[str, object]], expected: list[dict[str, object]]) -> None:
    for one, other in zip(found, expected, strict=False):
        assert one == other
    assert len(found) == len(expected)


def _compare_states(found: Played, fine: Played) -> None:
    """Compare the states after the last of the second listings, and at the end."""
    for one, other in ((found.after_listing[-1], fine.after_listing[-1]), (_end(found), _end(fine))):
        assert one.keys() == other.keys()
        for actor, attributes in one.items():
            for name, value in attributes.items():
                assert value == other[actor][name], f"{actor}.{name}"


def _end(played: Played) -> dict[str, dict[str, bytes]]:
    return states(played.sequencer)


class _NoStore:
    """A source of rows that holds every table and nothing yet."""

    tables = frozenset(TABLES)
    number = staticmethod(as_text)

    def row(self, table: str, key: str) -> Row | None:
        return None

    def trade_ids(self, client_order_id: str) -> dict[str, int]:
        return {}


def _rows(memory: Memory) -> dict[str, Any]:
    """Return the rows of all records as a store with decimal text holds them, without the scales."""
    builder = RowBuilder({}, _NoStore())
    for record in memory.all():
        builder.add(*record)
    rows = builder.rows()
    for row in rows.changed["instruments"].values():
        del row["price_scale"], row["size_scale"]
    for row in (*rows.changed.get("open_trips", {}).values(), *rows.changed.get("order_sums", {}).values()):
        # Exact sums as text, whose zeros at the end depend on the scales.
        row |= {name: Decimal(row[name]).normalize() for name in _SUMS & row.keys()}
    return {"appended": rows.appended, "changed": rows.changed}


_SUMS = frozenset({"held", "opened", "entry_value", "exit_value", "fees", "filled", "cost"})

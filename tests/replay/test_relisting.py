"""An instrument listed again with finer scales: everything goes on with the right value.

A session in which that happens at a random moment is compared with one that had the fine scales from the
beginning: the records, in decimals, and the state of every actor, bit for bit, right after the listing and at
the end. The steps of the grid are the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, example, given
from hypothesis import strategies as st

from engine.clock import SECOND_NS
from engine.commands.bars import bar_row
from engine.events import (
    Event,
    ExitDelayed,
    FillBooked,
    InstrumentListed,
    OrderRejected,
    PositionRead,
    StopChanged,
    TargetChanged,
)
from engine.instruments import continued
from engine.journal import list_days
from engine.stores.rows.builder import RowBuilder
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import as_text
from engine.stores.store import Row
from engine.values import parse_interval
from replay.bars import bars_of
from tests.orders.real import RealSession
from tests.orders.sequences import AAA, BBB, Plan, plan, real_plan
from tests.orders.session import FREE
from tests.orders.session import Session as PaperSession
from tests.profiles import examples
from tests.replay.kit import NOON, Memory, config_of, listings, opening, steady, write_journal
from tests.replay.relisting_kit import (
    FINE_SCALE,
    ZZZ,
    Finer,
    Played,
    assert_replays,
    decimals,
    exact,
    inputs_of,
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


@examples(0.3, phases=PHASES)
@given(numbers, shares, gains)
@example(10697, 0.5828, {2: Finer(1, 4), 1: Finer(1, 2)})  # pays funding
def test_money_that_gains_decimals_differs_by_roundings_alone(
    number: int, share: float, finer: dict[int, Finer]
) -> None:
    inputs = recorded(exact(plan(number)), share, fine_money=False)
    fine = decimals(play(relisted(inputs, finer, first=True)).memory.all())
    found = play(relisted(inputs, finer, first=False)).memory
    unit, bookings = Fraction(1, 10**8), 0
    for one, other in zip(decimals(found.all()), fine, strict=True):
        bookings += one.get("type") in ("FillBooked", "FundingPaid")
        for name in MONEY & one.keys():
            differs = Fraction(str(one.pop(name))) - Fraction(str(other.pop(name)))
            assert abs(differs) <= bookings * unit
        assert one == other
    assert_replays(found)


MONEY = frozenset({"realized", "unrealized", "cost", "equity", "amount", "funding"})
"""What quotients are part of: each is rounded once, at the scale that money has then."""


# Situations that random sessions do not have.


def test_an_equity_that_has_not_changed_is_not_marked_again() -> None:
    s = PaperSession()
    s.say("Long", "target", "AAA", "1.5")
    for _ in range(3):
        s.trade(100, after_s=61)
    s.send(*(msgspec.structs.replace(one, recv_ns=s.now_ns) for one in s.listings()))
    for _ in range(3):
        s.trade(100, after_s=61)
    s.stop()
    gain = {AAA: Finer(3, 2)}
    fine, found = (play(relisted(inputs_of(s.memory), gain, first=first)).memory for first in (True, False))
    _compare(decimals(found.all()), decimals(fine.all()))


class Session(RealSession):
    """A session with real orders, whose money has as many decimals with other scales."""

    def listings(self) -> list[Event]:
        """See `RealSession`."""
        return [*super().listings(), InstrumentListed(self.now_ns, ZZZ, "sim", "ZZZ", FINE_SCALE, FINE_SCALE)]


def _missing_fill(s: Session) -> list[Event]:
    """A fill is not reported; the position that shows it is booked at a mark with many decimals."""
    s.say("Long", "target", "AAA", "1.5")
    s.trade(100)
    s.fill(100)
    s.context("100.123456")
    late = [s.others(-1, "0.4", 99, silent=True), s.others(-1, "0.2", 98, silent=True)]
    s.now_ns += 10**9
    s.read_account()
    assert s.newest(FillBooked).finer
    s.context("100.12")
    return late


def _found_position(s: Session) -> list[Event]:
    """The account has a position that the engine knows nothing about; its entry price has many decimals."""
    assert s.newest(FillBooked).external
    return [s.others(-1, "0.5", 99, silent=True)]


def _fee_in_base(s: Session) -> list[Event]:
    """Fees of a spot market are taken from what was bought; less than a step of the grid is left over."""
    s.say("Long", "target", "BBB", "10")
    s.trade(1500, market=BBB)
    first, second = (
        msgspec.structs.replace(one, price=one.price * 100, finer=2, fee=fee, fee_asset="BBB")
        for one, fee in ((s.fill(1500, "4.2", silent=True), 1150), (s.fill(1500, "5", silent=True), 433))
    )
    s.send(first)
    assert s.newest(FillBooked, cause="fee").size == 12, "1.15 BBB are rounded up to the grid"
    return [second]


@pytest.mark.parametrize("happens", [_missing_fill, _found_position, _fee_in_base])
@pytest.mark.parametrize("gain", [Finer(1, 1), Finer(2, 0), Finer(6, 3)])
def test_what_was_booked_from_outside_and_fees_in_base_units_go_on(
    happens: Callable[[Session], list[Event]], gain: Finer
) -> None:
    settings = replace(FREE, spot=happens is _fee_in_base)
    s = Session(settings=settings, cash=100_000, held={AAA: "1.25"} if happens is _found_position else None)
    late = happens(s)
    s.send(*(msgspec.structs.replace(one, recv_ns=s.now_ns) for one in s.listings()))
    s.send(*late)
    s.now_ns += 10**9
    s.read_account()
    s.restart()
    s.stop()
    inputs = [
        msgspec.structs.replace(one, entry=100_123_456) if isinstance(one, PositionRead) and one.size else one
        for one in inputs_of(s.memory)
    ]
    _assert_goes_on(inputs, {AAA: gain, BBB: gain})


@pytest.mark.parametrize("interval", ["1s", "10s", "1m"])
def test_bars_of_a_day_are_the_same_recorded_and_rebuilt(tmp_path: Path, interval: str) -> None:
    first = steady(300, NOON)
    second = steady(300, NOON + 40 * SECOND_NS)
    listed = listings(NOON + 39 * SECOND_NS)
    inputs = [*opening(config_of(), NOON), *first, *listed, *second]
    gains = {AAA: Finer(2, 1), BBB: Finer(0, 3)}
    rows = []
    for name, fine in (("fine", True), ("relisted", False)):
        write_journal(tmp_path / name, [[event] for event in relisted(inputs, gains, first=fine)])
        (day,) = list_days(tmp_path / name)
        rows.append([bar_row(one) for one in bars_of([day.path], parse_interval(interval), unclosed=True)])
    assert rows[0] == rows[1]
    assert any(row["volume"] != "0" for row in rows[0])


# A coarser grid.


@contextmanager
def coarse(s: Any) -> Iterator[Any]:
    """Run a session that the model does not follow: it knows one grid only. The session replays."""
    yield s
    s.stop()
    assert_replays(s.memory)


def _coarser(s: PaperSession, *, price_step: int = 1, size_step: int = 1) -> None:
    """List AAA again with larger steps, at scales that a venue with such a grid would have."""
    before = s.sequencer.instruments[AAA]
    listed = msgspec.structs.replace(before, recv_ns=s.now_ns, price_step=price_step, size_step=size_step)
    s.send(continued(before, listed))


def test_on_a_coarser_grid_a_target_closes_whole_steps_and_the_rest_is_dust() -> None:
    with coarse(PaperSession()) as s:
        s.say("Long", "target", "AAA", "1.57")
        s.trade(100)
        s.trade(100)
        _coarser(s, size_step=10)
        s.say("Long", "target", "AAA", "0")
        s.trade(100)
        s.trade(100)
        assert s.book() == Fraction("0.07"), "less than a step cannot be sold"
        changed = s.newest(TargetChanged, strategy="Long")
        assert (changed.state, changed.reason) == ("waiting", "dust")
        assert [one.terms.size for one in s.submitted(role="close")] == [150]
        # Together with new size it can: the order opens, and closes the rest on its way.
        s.say("Long", "target", "AAA", "-1")
        s.trade(100)
        s.trade(100)
        assert s.book() == Fraction("-0.93")
        assert s.newest(TargetChanged, strategy="Long").reason == "dust"


def test_on_a_coarser_grid_own_orders_stops_and_trails_are_on_it() -> None:
    with coarse(PaperSession()) as s:
        s.say("Long", "target", "AAA", "1.57")
        s.say("Long", "stop", "AAA", "sell", "1.57", "97.33")
        s.say("Short", "target", "AAA", "-2.25")
        s.trade(100)
        s.say("Short", "trail", "AAA", "2.25", "2.5", short=True)
        s.trade(100)
        _coarser(s, price_step=50, size_step=10)
        stop = s.memory.events(StopChanged)[-1]
        assert (stop.trigger_price, stop.size) == (9750, 157), "up for a sell"
        s.say("Long", "sell", "AAA", "1.09", limit="104.26", reduce_only=True)
        s.trade(100)
        own = s.submitted(purpose="own")[-1].terms
        assert (own.size, own.limit) == (100, 10450)
        for price in (98, 97, 97, 97):
            s.trade(price)
        assert s.book("Long") == Fraction("0.07")
        late = s.newest(ExitDelayed, owner="Long")
        assert (late.left, late.reason) == (7, "dust")
        for price in (101, 101, 101):
            s.trade(price)
        assert s.book("Short") == Fraction("-0.05")
        assert not s.memory.events(OrderRejected)


def test_an_own_order_for_less_than_a_step_is_refused() -> None:
    with coarse(PaperSession()) as s:
        s.say("Long", "target", "AAA", "0.07")
        s.trade(100)
        s.trade(100)
        _coarser(s, size_step=10)
        s.say("Long", "sell", "AAA", "0.1", reduce_only=True)
        s.trade(100)
        assert s.refusals() == ["size"]
        s.say("Long", "sell", "AAA", "0.1")
        s.trade(100)
        s.trade(100)
        assert s.book() == Fraction("-0.03")


def test_a_stop_on_a_coarser_grid_is_held_by_a_real_venue_for_whole_steps() -> None:
    with coarse(RealSession()) as s:
        s.say("Long", "target", "AAA", "1.57")
        s.trade(100)
        s.fill(100)
        _coarser(s, price_step=50, size_step=10)
        s.say("Long", "stop", "AAA", "sell", "1.5", "97.33")
        s.trade(100)
        terms = s.order(trigger="sl").command.terms
        assert (terms.size, terms.trigger_price) == (150, 9750)
        s.say("Long", "stop", "AAA", "sell", "9", "96")
        s.trade(100)
        assert all(
            order.command.terms.size % 10 == 0 for order in s.orders.values() if order.command.terms.trigger
        )
        s.wait(300)
        assert len(s.submitted(trigger="sl")) == 2, "nothing is placed again and again"


def _assert_same(of: Plan, share: float, finer: Mapping[int, Finer], *, follow: bool) -> None:
    _assert_goes_on(recorded(of, share), finer, follow=follow)


def _assert_goes_on(inputs: Sequence[Event], finer: Mapping[int, Finer], *, follow: bool = True) -> None:
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

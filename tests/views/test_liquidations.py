"""Liquidations, open interest and funding as a view shows them, against a fold of the records by hand."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import ContextRead, FundingRead, InstrumentListed, LiquidationRead, OpenInterestRead
from engine.values import BUY, SELL, side_name
from engine.views import markets
from engine.views.queries import answer
from engine.views.view import View
from tests.flow.test_liquidations import Forcing, forcings, reads, session
from tests.profiles import examples
from tests.replay.kit import NOON, run
from tests.views.following import JOURNAL

MINUTE_MS = 60_000
SCALES = {"AAA": (4, 3), "BBB": (2, 1)}
NUMBERS = {1: "AAA", 2: "BBB"}


def asked(view: View, name: str, **query: str) -> dict[str, Any]:
    """Return an answer as a page gets it."""
    found: dict[str, Any] = json.loads(msgspec.json.encode(answer(view, name, query)))
    return found


def sizes(read: LiquidationRead) -> Decimal:
    return Decimal(read.size).scaleb(-SCALES[NUMBERS[read.instrument]][1])


@examples(0.5)
@given(forcings, st.integers(0, 60))
def test_a_view_shows_every_liquidation_its_window_and_the_contexts(plan: list[Forcing], cut: int) -> None:
    memory = run(session(plan, NOON))
    records = memory.all()
    view = View(JOURNAL)
    view.apply(records[:cut])
    early = view.copy()
    view.apply(records[cut:])
    early.apply(records[cut:])
    sent = reads(plan, NOON - 120 * 10**9)
    contexts = memory.events(ContextRead)
    for label, (price_scale, _) in SCALES.items():
        number = {"AAA": 1, "BBB": 2}[label]
        mine = [read for read in sent if read.instrument == number]
        shown = asked(view, "liquidations", instrument=label, interval="1m")
        assert shown == asked(early, "liquidations", instrument=label, interval="1m"), "a copy goes on"
        assert [
            (row["at_ms"], Decimal(row["price"]), Decimal(row["size"]), row["side"], row["sampled"])
            for row in shown["liquidations"]
        ] == [
            (
                read.venue_ns // 10**6,
                Decimal(read.price).scaleb(-price_scale),
                sizes(read),
                side_name(read.side),
                read.sampled,
            )
            for read in mine
        ]
        assert shown["intervals"] == (["1s", "1m"] if mine else [])
        by_window: Counter[tuple[int, str]] = Counter()
        for read in mine:
            by_window[read.venue_ns // 10**6 // MINUTE_MS * MINUTE_MS, side_name(read.side)] += sizes(read)  # type: ignore[assignment]
        windows = {row["start_ms"]: row for row in shown["windows"]}
        assert list(windows) == sorted({at for at, _ in by_window})
        for at, row in windows.items():
            assert row["end_ms"] == at + MINUTE_MS
            assert (Decimal(row["longs"]), Decimal(row["shorts"])) == (
                by_window[at, "sell"],
                by_window[at, "buy"],
            )
            for place, name in ((1, "longs"), (2, "shorts")):
                assert sum(Decimal(level[place]) for level in row["levels"]) == Decimal(row[name])
            inside = [read for read in mine if read.venue_ns // 10**6 // MINUTE_MS * MINUTE_MS == at]
            assert row["count"] == len(inside)
            assert row["sampled"] == any(read.sampled for read in inside)
            for side, place in ((SELL, 1), (BUY, 2)):
                for price, *parts in row["levels"]:
                    top = Decimal(price) + Decimal(row["level"])
                    held = (
                        sizes(read)
                        for read in inside
                        if read.side == side
                        and Decimal(price) <= Decimal(read.price).scaleb(-price_scale) < top
                    )
                    assert Decimal(parts[place - 1]) == sum(held)
        newest = {
            one.recv_ns // 10**9 // 60: (
                one.recv_ns // 10**6,
                Decimal(int(one.open_interest)).scaleb(-one.scale),
                int(one.funding) / 10**one.scale,
            )
            for one in contexts
            if one.instrument == number
        }
        points = asked(view, "contexts", instrument=label)["points"]
        assert [(at, Decimal(interest), funding) for at, interest, funding, _ in points] == list(
            newest.values()
        )


def test_a_copy_does_not_change_with_the_view_it_was_made_of() -> None:
    plan: list[Forcing] = [(5000, 5, 1, 950 + number, 1 + number, False) for number in range(40)]
    records = run(session(plan, NOON)).all()
    view, again = View(JOURNAL), View(JOURNAL)
    for one in (view, again):
        one.apply(records[: len(records) // 2])
    twin = view.copy()
    view.apply(records[len(records) // 2 :])
    for name in ("liquidations", "contexts"):
        assert asked(twin, name, instrument="AAA") == asked(again, name, instrument="AAA")


def test_settled_rates_are_points_and_contexts_without_either_are_none() -> None:
    view = View(JOURNAL)
    nothing = (None, None, None)
    view.apply(
        [
            (1, 0, InstrumentListed(1, 1, "sim", "AAA", 2, 3)),
            (2, 0, FundingRead(5_000_000, 4_000_000, 1, 8, 1250, 0)),
            (3, 0, FundingRead(5_000_000, 4_000_000, 1, 8, 77, 0, per_unit=True)),
            (4, 0, ContextRead(6_000_000, 1, 4, 10_000, *nothing, None, None)),
            (5, 0, ContextRead(7_000_000, 1, 4, *nothing, -5, None, None)),
            (6, 0, OpenInterestRead(8_000_000, 9_000_000, 1, 2, 777)),
            (7, 0, OpenInterestRead(8_000_000, -60_000_000_000, 1, 2, 555)),
        ]
    )
    shown = asked(view, "contexts", instrument="AAA")
    assert shown["rates"] == [[4, 0.0000125, 2, "fraction"], [4, 0.00000077, 3, "money"]]
    assert shown["points"] == [[-60_000, "5.55", None, 7], [7, None, -0.0005, 5]], "in order, a context first"


def test_what_is_remembered_follows_finer_scales() -> None:
    view = View(JOURNAL)
    listed = InstrumentListed(1, 1, "sim", "AAA", 2, 3)
    read = LiquidationRead(5_000_000, 5_000_000, 1, SELL, 10_050, 1500)
    view.apply([(1, 0, listed), (2, 0, read)])
    finer = msgspec.structs.replace(listed, price_scale=4, size_scale=5)
    view.apply([(3, 0, finer)])
    (row,) = asked(view, "liquidations", instrument="AAA")["liquidations"]
    assert (Decimal(row["price"]), Decimal(row["size"])) == (Decimal("100.5"), Decimal("1.5"))


def test_contexts_of_many_markets_share_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markets, "CONTEXTS_MAX", 100)
    monkeypatch.setattr(markets, "CONTEXTS_EACH", (5, 40))
    view = View(JOURNAL)
    view.apply(
        [(number, 0, InstrumentListed(1, number, "sim", f"M{number}", 2, 2)) for number in (1, 2, 3, 4)]
    )
    seq = 4
    for minute in range(60):
        for number in (1, 2, 3, 4):
            seq += 1
            at_ns = minute * MINUTE_MS * 10**6
            view.apply([(seq, 0, ContextRead(at_ns, number, 0, None, None, None, 1, None, 7))])
    points = asked(view, "contexts", instrument="M1")["points"]
    assert [at // MINUTE_MS for at, *_ in points] == list(range(35, 60))
    assert view.weight < 150

"""What is read from the journal equals what a view remembers, and what a reader of every record finds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.events import (
    REPORTS,
    DayOpened,
    OrderCanceled,
    OrderFilled,
    SubmitOrder,
)
from engine.events.codec import Record, in_order
from engine.journal import list_days
from engine.records import read_records
from engine.views import queries
from engine.views.chain import chain_in, chain_of
from engine.views.frames import Frames
from engine.views.older import Older
from engine.views.view import View
from tests.orders.sequences import real_plan
from tests.orders.shrink import run_of
from tests.replay.kit import EVE, JOURNAL_ID, Memory, batches, config_of, opening, steady, use, write_journal

CONFIG = config_of(use("Crossover", params={"fast": 2, "slow": 3, "interval": "1s", "notional": "50"}))
JOURNAL = JOURNAL_ID.hex()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of two days with fills in both."""
    folder = tmp_path_factory.mktemp("journal")
    inputs = opening(CONFIG, EVE) + steady(400, EVE)
    write_journal(folder, batches(inputs, range(0, len(inputs), 30)))
    return folder


@pytest.fixture(scope="module")
def records(root: Path) -> list[Record]:
    return [record for day in list_days(root) for record in read_records(day.path)]


@pytest.fixture(scope="module")
def view(records: list[Record]) -> View:
    seen = View(JOURNAL)
    seen.apply(records)
    return seen


def questions(view: View) -> Iterator[tuple[str, dict[str, str]]]:
    fills = view.fill_rows()
    bars = view.bars("AAA", "1s").bars
    middle = str(fills[len(fills) // 2].seq)
    for limit in ("1", "3", "1000"):
        yield "fills", {"limit": limit}
        yield "fills", {"limit": limit, "after": middle}
        yield "fills", {"limit": limit, "before": middle}
        yield "events", {"limit": limit, "after": middle}
        yield "events", {"limit": limit, "after": middle, "fields": "true"}
        yield "events", {"limit": limit, "kinds": "OrderFilled,BarClosed"}
        yield "bars", {"limit": limit, "instrument": "AAA", "interval": "1s"}
        yield (
            "bars",
            {
                "limit": limit,
                "instrument": "AAA",
                "interval": "1s",
                "before_ms": str(bars[len(bars) // 2].start_ms),
            },
        )
    yield "events", {}


def test_what_is_read_is_what_a_view_remembers(root: Path, view: View) -> None:
    older = Older(root, JOURNAL)
    asked = 0
    for name, query in questions(view):
        known: Any = queries.answer(view, name, query)
        assert known is not None
        read: Any = older.answer(name, query, seq=view.seq, at_ms=known.at_ms)
        if name == "bars":
            known.forming, known.gaps = None, []
        assert read == known, (name, query)
        asked += 1
    assert asked > 20


def test_a_view_of_the_second_day_leaves_older_rows_to_the_journal(root: Path, view: View) -> None:
    second = View(JOURNAL)
    second.apply(read_records(list_days(root)[1].path))
    assert isinstance(second.first_seq, int)
    assert second.first_seq > 1
    assert queries.answer(second, "events", {"after": "3"}) is None
    assert second.fills(limit=1).more
    older = Older(root, JOURNAL)
    first = second.fills().fills[0].seq
    rows = older.answer("fills", {"before": str(first)}, seq=second.seq, at_ms=0)
    assert rows.fills == [row for row in view.fill_rows() if row.seq < first]  # type: ignore[attr-defined]


def test_what_is_not_durable_is_not_read(root: Path, view: View, records: list[Record]) -> None:
    older = Older(root, JOURNAL)
    for until in range(5, view.seq, 211):
        for name, query in (("fills", {}), ("events", {"after": "0", "limit": "2000"})):
            answer: Any = older.answer(name, query, seq=until, at_ms=0)
            rows = answer.fills if name == "fills" else answer.events
            assert all(row.seq <= until for row in rows)
        with pytest.raises(UsageError, match="there is no record"):
            older.answer("why", {"seq": str(until + 1)}, seq=until, at_ms=0)


def test_the_chain_is_that_of_a_reader_of_every_record(root: Path) -> None:
    compared = 0
    for day in list_days(root):
        every = list(read_records(day.path))
        for seq, _, event in every:
            if isinstance(event, DayOpened | OrderFilled) or seq % 11 == 0:
                assert chain_of(day.path, seq) == _chain(every, seq)
                compared += 1
    assert compared > 50


class MemoryFrames(Frames):
    """The frames of a session in memory."""

    def __init__(self, memory: Memory) -> None:
        self.days = [Path("memory")]
        self._lists = [[*in_order(first, inputs, derived)] for _, first, inputs, derived in memory.frames]

    @property
    def first_seq(self) -> int:
        return 1

    def records(self, seq: int) -> list[Record]:
        found = [records for records in self._lists if records[0][0] <= seq <= records[-1][0]]
        return found[0] if found else []


def test_the_chain_of_a_venues_report_goes_on_with_its_order() -> None:
    reports = 0
    for number in range(4):
        memory = run_of(real_plan(number)).play().memory
        frames, every = MemoryFrames(memory), memory.all()
        for seq, cause, event in every:
            if isinstance(event, REPORTS):
                chain = chain_in(frames, seq)
                assert chain == _chain(every, seq)
                reports += not cause and any(isinstance(one[2], SubmitOrder) for one in chain)
    assert reports > 20


def test_why_crosses_midnight(root: Path, view: View, records: list[Record]) -> None:
    opened = next(record for record in records if isinstance(record[2], DayOpened))
    answer: Any = Older(root, JOURNAL).answer("why", {"seq": str(opened[0])}, seq=view.seq, at_ms=0)
    assert [row.seq for row in answer.chain][-2:] == [opened[1], opened[0]]
    assert answer.chain[-1].type == "DayOpened"


def _chain(records: list[Record], seq: int) -> list[Record]:
    """Return a record and its causes, from every record of its day."""
    causes: dict[int, int] = {}
    submitted: dict[str, int] = {}
    markets: dict[int, int] = {}
    turn = 0
    for number, cause, event in records:
        if isinstance(event, SubmitOrder):
            submitted[event.client_order_id] = number
        if not cause:
            turn = number
        elif isinstance(event, OrderFilled | OrderCanceled) and cause < turn:
            markets[number] = turn
        if not cause and isinstance(event, REPORTS):
            cause = submitted.get(event.client_order_id, 0)
        if cause:
            causes[number] = cause
        if number == seq:
            break
    wanted = [seq]
    while (cause := causes.get(wanted[-1], 0)) >= records[0][0]:
        wanted.append(cause)
    numbers = {*wanted, *(markets[number] for number in wanted if number in markets)}
    return [record for record in records if record[0] in numbers]

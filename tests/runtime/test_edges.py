"""Ingress, supervisor and projector: bounds, restarts, and failures that do not stop trading."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio

from engine.errors import EngineError
from engine.events import ClockAdvanced, Event
from engine.ports import Edge
from engine.runtime.committer import Committed
from engine.runtime.ingress import Ingress
from engine.runtime.projector import WAITING_MAX, Projector
from engine.runtime.supervisor import Health, supervise
from tests.runtime.kit import Counting


async def test_i11_a_full_ingress_makes_senders_wait_and_keeps_order() -> None:
    ingress = Ingress(inputs_max=10)
    taken: list[Event] = []

    async def send() -> None:
        for number in range(100):
            await ingress.send([ClockAdvanced(number)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        while len(taken) < 100:
            taken += await ingress.receive()
            assert ingress.high_water <= 10
            await trio.lowlevel.checkpoint()
    assert taken == [ClockAdvanced(number) for number in range(100)]


async def test_a_failed_edge_restarts_with_backoff_and_repeated_failures_end_the_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """C09: five failures in a minute end the session; each state is reported."""
    states: list[str] = []
    starts: list[float] = []

    async def fail() -> None:
        starts.append(trio.current_time())
        raise OSError("no")

    def report(health: Health) -> None:
        states.append(health.state)

    with pytest.raises(EngineError, match="failed 5 times"):
        await supervise(Edge("feed", fail), report, Counting())
    assert len(starts) == 5
    waits = [after - before for before, after in pairwise(starts)]
    assert waits == sorted(waits)
    assert min(waits) >= 0.2
    assert states == ["running", "restarting"] * 4 + ["running", "failed"]


async def test_a_fatal_error_is_not_retried() -> None:
    runs: list[int] = []

    async def fail() -> None:
        runs.append(1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await supervise(Edge("x", fail, fatal=(ZeroDivisionError,)), lambda _: None, Counting())
    assert len(runs) == 1


class Rows:
    """A store that keeps seqs and fails while `broken`."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.broken = False

    @property
    def seq(self) -> int:
        return self.seqs[-1] if self.seqs else 0

    def apply(self, records: list[object], *, seq: int, digest: bytes) -> int:
        if self.broken:
            raise EngineError("database is locked")
        self.seqs.append(seq)
        return len(records)

    def close(self) -> None:
        pass


def committed(seq: int) -> Committed:
    return Committed("2024-12-05", seq, [ClockAdvanced(seq)], [], b"")


async def test_q04_a_projector_that_falls_behind_reads_the_journal_instead() -> None:
    rows = Rows()
    caught_up: list[int] = []

    def catch_up(until: int) -> int:
        caught_up.append(until)
        rows.seqs.append(until)
        return until

    projector = Projector(rows, catch_up)  # type: ignore[arg-type]
    await projector.flush()
    assert caught_up == [0]
    for seq in range(1, WAITING_MAX + 2):
        projector.take(committed(seq))
    assert projector.high_water == WAITING_MAX
    assert projector.lag == WAITING_MAX + 1
    await projector.flush()
    assert caught_up == [0, WAITING_MAX + 1], "the waiting records were dropped and read from the journal"
    assert projector.lag == 0


async def test_a_burst_waits_for_a_store_up_to_a_number_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of a burst has thousands of records: the number of frames alone bounds no memory."""
    monkeypatch.setattr("engine.runtime.projector.RECORDS_MAX", 10)
    rows = Rows()
    caught_up: list[int] = []
    projector = Projector(rows, lambda until: caught_up.append(until) or until)  # type: ignore[arg-type, func-returns-value]
    await projector.flush()
    for first in (1, 6, 11):
        projector.take(Committed("2024-12-05", first, [ClockAdvanced(first)] * 5, [], b""))
        assert sum(len(one.inputs) for one in projector._waiting) <= 10
    await projector.flush()
    assert caught_up == [0, 15]
    projector.take(Committed("2024-12-05", 16, [ClockAdvanced(16)] * 5, [], b""))
    await projector.flush()
    assert rows.seqs == [20]
    assert caught_up == [0, 15], "the queue is empty again, and so is its count"


async def test_r11_a_failure_loses_no_rows() -> None:
    rows = Rows()
    caught_up: list[int] = []

    def catch_up(until: int) -> int:
        caught_up.append(until)
        return until

    projector = Projector(rows, catch_up)  # type: ignore[arg-type]
    await projector.flush()
    rows.broken = True
    projector.take(committed(1))
    with pytest.raises(EngineError, match="locked"):
        await projector.flush()
    rows.broken = False
    await projector.flush()
    assert caught_up == [0, 1], "the failed batch was read from the journal"

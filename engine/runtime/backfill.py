"""A session without feeds and orders: writes history into the journal and changes nothing else.

Promises: the configuration and the strategies are those of the newest session, so that every actor keeps
its state for the next one; what is durable stays after a kill, and the next run continues; the day replays
like any other. Called by `engine backfill`, which reads the missing history.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import trio

from engine.clock import day_of
from engine.config import Config, parse_config
from engine.events import CandleRead, Event, FundingRead, InstrumentListed, SessionStopped
from engine.journal import JournalLock, JournalWriter, Witness, day_name, list_days
from engine.ports import Clock, Ids
from engine.records import JournalHistory, read_records
from engine.runtime.committer import Committer
from engine.runtime.effects import MeasuredEffects
from engine.runtime.live import open_journal
from engine.runtime.numbering import numbered
from engine.sequencer import Sequencer
from engine.session import SessionBuilder

__all__ = ["BackfillPlan", "Known", "known_history", "run_backfill"]

BATCH: int = 2000
"""Inputs of one batch; each is durable before the next is requested."""

Known = dict[tuple[str, int], set[int]]
"""By (instrument, interval in ns; 0 for funding rates): the starts, or times, that the journal has."""


class BackfillPlan(msgspec.Struct):
    """The plan of a backfill. `config` is used only if the journal has no session yet."""

    root: Path
    config: Config
    builder: SessionBuilder
    clock: Clock
    ids: Ids
    instruments: list[InstrumentListed]
    witness: Witness | None = None


Read = Callable[[Sequence[InstrumentListed]], AsyncIterator[list[Event]]]
"""Yields missing history in batches; the instruments have their numbers."""


def known_history(root: Path) -> Known:
    """Return the candles and funding rates that a journal already has."""
    known: Known = {}
    names: dict[int, str] = {}
    for day in list_days(root):
        for _, _, event in read_records(day.path):
            if isinstance(event, InstrumentListed):
                names[event.instrument] = event.name
            elif isinstance(event, CandleRead) and event.instrument in names:
                known.setdefault((names[event.instrument], event.interval_ns), set()).add(event.start_ns)
            elif isinstance(event, FundingRead) and event.instrument in names:
                known.setdefault((names[event.instrument], 0), set()).add(event.venue_ns)
    return known


async def run_backfill(plan: BackfillPlan, read: Read) -> int:
    """Write what `read` yields; return how many inputs that was. Raises EngineError."""
    plan.root.mkdir(parents=True, exist_ok=True)
    with JournalLock(plan.root):
        recovered = open_journal(plan.root, plan.ids, plan.witness)
        with JournalWriter(plan.root, recovered.tail, salts=lambda: plan.ids.random_bytes(16)) as writer:
            committer = Committer(writer, MeasuredEffects(plan.clock), lambda _: None)
            sequencer = Sequencer(plan.builder, committer, JournalHistory(plan.root))
            if recovered.end_seq:
                sequencer.follow(read_records(plan.root / day_name(recovered.days[-1])))
                committer.open_day(day_of(sequencer.now_ns))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(committer.run)
                count = await _session(plan, read, sequencer, committer)
                await committer.settled()
                nursery.cancel_scope.cancel()
    return count


async def _session(plan: BackfillPlan, read: Read, sequencer: Sequencer, committer: Committer) -> int:
    def now_ns() -> int:
        return max(plan.clock.now_ns(), sequencer.now_ns)

    before = sequencer.session
    config = plan.config if before is None else parse_config(before.config)
    session = plan.ids.random_bytes(8).hex()
    started = plan.builder.start(recv_ns=now_ns(), session=session, mode="backfill", config=config)
    sequencer.run([started])
    listed, fresh = numbered(plan.instruments, sequencer.instruments, now_ns())
    if fresh:
        sequencer.run([*fresh])
    count = 0
    try:
        async for batch in read(listed):
            for start in range(0, len(batch), BATCH):
                part = batch[start : start + BATCH]
                sequencer.run([msgspec.structs.replace(event, recv_ns=now_ns()) for event in part])
                count += len(part)
                await committer.settled()
    finally:
        sequencer.run([SessionStopped(now_ns(), session, "backfill")])
    return count

"""Runs a live session: opens the journal, resumes from it, trades, stops gracefully.

Owns the nesting of the nurseries, which is the order of the stop: journal and projector outermost, then
the sequencer and the gateway, feeds innermost. Start-up: lock, recover, follow the newest day's record, open
a session, list the instruments, start gateway and feeds. Stop: an `OperatorCommand`, so that what `[risk]
on_stop` says is done through the journal, then the feeds, then `SessionStopped`, then the last sync. A
session that stops or fails with a position says so, and what protects it.

Called by the command line, which provides the feeds, the clock and the projectors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import trio

from engine.clock import day_of
from engine.errors import EngineError
from engine.events import (
    ClockAdvanced,
    Event,
    FeedDown,
    FeedUp,
    InstrumentListed,
    OperatorCommand,
    Quote,
    SessionStopped,
    Trade,
    engine_time,
)
from engine.events.codec import in_order
from engine.journal import day_name
from engine.ports import Edge
from engine.records import JournalHistory
from engine.runtime.beginning import (
    beginning_lines,
    check_names,
    halt_lines,
    operator_lines,
    refuse_beginnings,
    unpriced_lines,
)
from engine.runtime.committer import Committed, Committer
from engine.runtime.desk import Desk
from engine.runtime.effects import MeasuredEffects
from engine.runtime.ingress import BATCH_MAX
from engine.runtime.journal import OpenedJournal, opened_journal
from engine.runtime.jumps import LOOK_S, JumpWatch
from engine.runtime.lag import Lag
from engine.runtime.last_trades import look_back
from engine.runtime.notices import Notice, Notices, short_warm_up
from engine.runtime.numbering import numbered
from engine.runtime.plan import LivePlan, LiveResult, OperatorServer, ServedSession, WarmUp
from engine.runtime.positions import exits_owed, open_books, unsettled
from engine.runtime.projector import Projector
from engine.runtime.refill import Refill
from engine.runtime.reporting import Reporting
from engine.runtime.router import edges_of
from engine.runtime.starting import check_clock, newest_day
from engine.runtime.supervisor import supervise
from engine.runtime.watchdog import Watchdog
from engine.sequencer import Sequencer
from engine.venue import Account, LastTrades

__all__ = ["Live"]

STOP_S: Final = {"keep": 10.0, "cancel": 10.0, "flatten": 60.0}
"""By `[risk] on_stop`: how long orders may take to end at a stop, in real seconds."""
PROJECT_S: Final = 8.0
"""How long the last rows of a store may take, in real seconds."""
FILLS_OVERLAP_NS: Final = 60_000_000_000
"""Fills this long before the last reconciliation are read again; each is counted once."""
NONCE_MARGIN_MS: Final = 60_000
"""Upper bound on nonces used ahead of time, when one millisecond has several commands."""


class Live(Reporting):
    """One live session. `notify` receives lines for people; nothing depends on them."""

    def __init__(self, plan: LivePlan, notify: Callable[[Notice], None]) -> None:
        super().__init__(plan, notify)
        self.committer: Committer
        self.desk: Desk
        self.projectors: dict[str, Projector] = {}
        self.effects = MeasuredEffects(plan.clock, plan.speed)
        self.days: list[str] = []
        self._first_feed_input = trio.Event()
        self._stop = trio.Event()
        self._settled = trio.Event()
        self._stopping = False
        self._edges: Sequence[Edge] = ()
        self._refill: Refill | None = None
        self._server: OperatorServer | None = None
        if plan.warm_up is not None and plan.config.strategies:
            self._refill = Refill(plan.config, plan.warm_up, self._now_ns, self._notify)
        self._stopped_by = ""
        self._failures_shown = 0
        self._refusal: Exception | None = None  # of a session that could not begin
        self._watchdog = Watchdog(plan.config.limits.handler_s, self._show_stuck, self._durable_seq)
        self._lag = Lag(plan.config, plan.clock, plan.speed, self._watchdog.busiest)
        plan.health["engine"] = self._lag.__str__

    def stop(self, reason: str) -> None:
        """Begin a graceful stop."""
        self._stopped_by = self._stopped_by or reason
        self._stop.set()

    async def run(self) -> LiveResult:
        """Run until stopped. Raises EngineError, alone or in a group."""
        plan = self._plan
        opening = opened_journal(plan.root, plan.ids, plan.witness, plan.disk)
        with opening as opened, self._watchdog.watching():
            try:
                return await self._run(opened)
            except BaseException:
                self._report_positions()
                if self._refusal is not None:
                    raise self._refusal from None
                raise
            finally:
                self._close_stores()

    async def _run(self, opened: OpenedJournal) -> LiveResult:
        plan, writer, recovered = self._plan, opened.writer, opened.recovered
        for name, make in plan.projectors.items():
            projector = make(recovered.tail.journal_id, recovered.end_seq)
            self.projectors[name] = projector
            plan.health[f"store {name}"] = projector.__str__
        self.committer = Committer(writer, self.effects, self._committed, plan.idle_ms)
        self.sequencer = Sequencer(plan.builder, self.committer, JournalHistory(plan.root, plan.disk))
        identity = recovered.tail.journal_id
        self.desk = Desk(identity.hex(), self.ingress.put, self._now_ns, self._answer_of, self._starting)
        if plan.make_server is not None:
            own = identity, recovered.end_seq, self.desk, self.ingress, self._now_ns
            self._server = plan.make_server(ServedSession(*own, plan.builder.defaults, self._starting))
        last_trades: LastTrades = {}
        first_seq = recovered.end_seq + 1
        async with trio.open_nursery() as outer:
            if self._server is not None:
                edge = Edge("api", self._server.run, gives_up=False)
                outer.start_soon(supervise, edge, self._edge_changed, plan.ids)
            try:
                session, repairs, instruments = await self._open_session(opened, last_trades)
            except Exception as error:
                self._refusal = error
                raise
            outer.start_soon(self.committer.run)
            if plan.warm_up is not None:
                await self._warm_up(plan.warm_up, instruments)
            for name, projector in self.projectors.items():
                edge = Edge(name, projector.run, gives_up=False)
                outer.start_soon(supervise, edge, self._edge_changed, plan.ids)
            await outer.start(self._watch_signals)
            outer.start_soon(self._show_health)
            self._jumps = JumpWatch(plan.clock)
            async with trio.open_nursery() as core:
                core.start_soon(self._pump)
                if self._refill is not None:
                    core.start_soon(self._refill.run, instruments, self.ingress)
                core.start_soon(self._lag.beat, self.ingress)
                if plan.make_gateway is not None:
                    gateway = plan.make_gateway(instruments, self.ingress, self._account())
                    self.effects.gateway = gateway
                    for edge in edges_of(gateway):
                        core.start_soon(supervise, edge, self._edge_changed, plan.ids)
                async with trio.open_nursery() as feeds:
                    self._edges = plan.make_feeds(instruments, self.ingress, last_trades)
                    for edge in self._edges:
                        feeds.start_soon(supervise, edge, self._edge_changed, plan.ids)
                    if plan.for_seconds is not None:
                        feeds.start_soon(self._stop_after, plan.for_seconds)
                    await self._stop.wait()
                    await self._settle_orders()
                    feeds.cancel_scope.cancel()
                core.cancel_scope.cancel()
            while batch := self.ingress.take():
                self._look_for_jumps()
                await self._turns(batch)
            self._turn([SessionStopped(self._now_ns(), session, self._stopped_by)])
            await self.committer.settled()
            async with trio.open_nursery() as rest:
                for name, projector in self.projectors.items():
                    rest.start_soon(self._project_rest, name, projector)
            outer.cancel_scope.cancel()
        return LiveResult(
            session,
            self.days,
            first_seq,
            self.committer.durable_seq,
            writer.digest.hex(),
            self.ingress.received,
            self._stopped_by,
            repairs,
            self.effects.released,
            self.effects.percentile_ms(50),
            self.effects.percentile_ms(99),
            self.ingress.high_water,
            self.committer.high_water,
            self.sequencer.clock_steps_back,
            len(unsettled(self._manager())),
            {name: line() for name, line in plan.health.items()},
            list(self.sequencer.failures),
            self._halted(),
            self._manager().gates.halted_markets,
            refused=dict(self._notices.refused),
            positions=open_books(self._manager(), self.sequencer.instruments),
            owed=exits_owed(self._manager(), self.sequencer.instruments),
            unvalued=self._books().unvalued(),
            unfunded=self._unfunded(),
            paused=self._manager().gates.paused,
            lag_max_ms=self._lag.highest_ms,
        )

    # Start.

    async def _open_session(
        self, opened: OpenedJournal, last_trades: LastTrades
    ) -> tuple[str, list[str], list[InstrumentListed]]:
        """Resume and begin, and record what was asked meanwhile; return session, repairs, instruments."""
        plan, recovered = self._plan, opened.recovered
        if recovered.end_seq:
            days = [plan.root / day_name(day) for day in recovered.days]
            await self._resume(days[-1], opened, last_trades)
            look_back(days[-2:-1], self.sequencer.instruments, last_trades, plan.disk)
        self._notices = Notices(self.sequencer.instruments)
        session = plan.ids.random_bytes(8).hex()
        repairs = self._begin(session, opened)
        instruments, fresh = numbered(plan.instruments, self.sequencer.instruments, self._now_ns())
        if fresh:
            self._turn([*fresh])
        self._starting.done.set()
        for health in self._early:
            self._record_edge(health)
        if plan.resume:
            self.ingress.put([OperatorCommand(self._now_ns(), "resume", detail="at the start")])
        else:
            for line in halt_lines(self._manager()):
                self._notify(line)
        for line in (*operator_lines(self._manager()), *unpriced_lines(self._manager(), instruments)):
            self._notify(line)
        self.desk.begin()
        return session, repairs, instruments

    async def _resume(self, folder: Path, opened: OpenedJournal, last_trades: LastTrades) -> None:
        """Follow the newest day's record to the state it led to; note the last trade of each instrument."""
        records = newest_day(self._plan.root, folder, opened, last_trades, self._plan.disk)
        if self._server is not None:
            records = self._server.passing(records)
        await self._starting.follow(self.sequencer, records, opened.recovered.end_seq)
        check_clock(self._plan.root, self._plan.clock.now_ns(), self.sequencer.now_ns)
        self.committer.open_day(day_of(self.sequencer.now_ns))

    def _begin(self, session: str, opened: OpenedJournal) -> list[str]:
        """Open the session; record the repairs of recovery and the venue's clock."""
        plan = self._plan
        now_ns = self._now_ns()
        mode = "paper" if plan.make_gateway is None else "live"
        check_names(self.sequencer, plan.config, plan.fresh, plan.moves)
        started = plan.builder.start(
            recv_ns=now_ns,
            session=session,
            mode=mode,
            config=plan.config,
            moves=plan.moves,
            epoch=opened.epoch(),
        )
        began = self.sequencer.preview(started)
        if mode == "live":
            refuse_beginnings(began, plan.fresh, plan.moves, self.sequencer.instruments)
        self._turn([started])
        for line in beginning_lines(began, self.sequencer.without_state, self.sequencer.instruments):
            self._notify(line)
        repaired = opened.repaired(now_ns)
        # Read before the session began, but recorded in it: engine time does not go back.
        read = [msgspec.structs.replace(event, recv_ns=now_ns) for event in plan.venue_events]
        if repaired or read:
            self._turn([*repaired, *read])
        return [f"{repair.kind} {repair.file} at {repair.offset}" for repair in opened.repairs()]

    def _account(self, venue: str = "") -> Account:
        """Return an account as the journal has it. Nonces are engine time, or one more than the last."""
        known_ns = self._execution().known_ns(venue)
        return Account(
            known_ns - FILLS_OVERLAP_NS if known_ns else self._now_ns(),
            self.sequencer.now_ns // 1_000_000 + NONCE_MARGIN_MS,
            lambda: self._execution().working_at(venue),
            lambda client_order_id: self._books().knows(client_order_id),
            self._account,
            lambda: self._books().sent(),
        )

    async def _warm_up(self, warm_up: WarmUp, instruments: Sequence[InstrumentListed]) -> None:
        """Send past candles to the strategies. A failed warm-up is not fatal: they begin without it."""
        try:
            settings = self._plan.config
            events = await warm_up(
                instruments, dict.fromkeys(settings.bars.intervals, settings.data.warmup_bars)
            )
        except EngineError as error:
            self._notify(Notice("warm-up", "failed", str(error)))
            return
        if settings.strategies:
            line = short_warm_up(events, instruments, settings.bars.intervals, settings.data.warmup_bars)
            if line:
                self._notify(Notice("warm-up", "short", line))
        now_ns = self._now_ns()
        read = [msgspec.structs.replace(event, recv_ns=now_ns) for event in events]
        for start in range(0, len(read), BATCH_MAX):
            self._turn(read[start : start + BATCH_MAX])
            await self.committer.settled()

    # Run.

    async def _pump(self) -> None:
        """Pass inputs to the sequencer. If none arrives before a timer is due, advance its clock."""
        while True:
            while self.committer.backlogged:
                await self.committer.settled()
            due_ns = self.sequencer.due_ns
            wait_s = min(max(self._plan.clock.real_seconds_until(due_ns), 0.0), LOOK_S)
            batch: list[Event] = []
            with trio.move_on_after(wait_s):
                batch = await self.ingress.receive(self._lag.batch_max)
            self._look_for_jumps()
            self._look_for_lag(batch)
            if batch:
                began = trio.current_time()
                await self._turns(batch)
                took_s = trio.current_time() - began
                self._lag.ran(len(batch), took_s)
                # The committer runs between two batches, however many are queued.
                await self._lag.let_read(self.ingress, took_s)
            elif self._plan.clock.now_ns() >= due_ns:
                self._turn([ClockAdvanced(self._now_ns())])

    def _look_for_jumps(self) -> None:
        """Record a jump of the clock before anything that arrived or fell due since."""
        for jumped in self._jumps.look(self.sequencer.now_ns):
            self._turn([jumped])
            if self._refill is not None and jumped.ahead:
                self._refill.note(jumped)
            for edge in self._edges:
                if edge.note_jump is not None:
                    edge.note_jump(jumped)

    def _look_for_lag(self, batch: list[Event]) -> None:
        """Record a lag before the inputs and timers that are late."""
        oldest_ns = min([self.sequencer.due_ns, *map(engine_time, batch[:1])])
        for lagging in self._lag.look(oldest_ns, self.sequencer.now_ns):
            self._turn([lagging])

    async def _turns(self, batch: list[Event]) -> None:
        """Run a batch. An operator's command may read the journal, so it waits for earlier records."""
        if not any(event.__class__ is OperatorCommand for event in batch):
            self._turn(batch)
            return
        for index, event in enumerate(batch):
            if isinstance(event, OperatorCommand):
                try:
                    await self.committer.settled()
                except trio.Cancelled:
                    self.ingress.put_back(batch[index:])
                    raise
            self._turn([event])

    def _turn(self, batch: list[Event]) -> None:
        if not self._first_feed_input.is_set() and any(
            isinstance(event, Trade | Quote | FeedUp | FeedDown) for event in batch
        ):
            self._first_feed_input.set()
            if self._plan.for_seconds is not None:  # before this turn, from which a handler may not return
                ends_s = self._plan.for_seconds + STOP_S["keep"]
                self._watchdog.end_after(ends_s, _end_of(self._plan.for_seconds))
        self.sequencer.run(batch)
        for failed in self.sequencer.failures[self._failures_shown :]:
            self._failures_shown += 1
            self._notify(Notice("strategy", "failed", failed))
        if isinstance(batch[0], OperatorCommand) and batch[0].command == "stop":
            self._stopping = True
            self.stop(batch[0].who or "operator")
        if self._stopping and self._is_settled():
            self._settled.set()

    def _committed(self, committed: Committed) -> None:
        if not self.days or self.days[-1] != committed.day:
            self.days.append(committed.day)
        for projector in self.projectors.values():
            projector.take(committed)
        self.desk.take(committed)
        if self._server is not None:
            self._server.take(committed)
        for seq, _, event in in_order(committed.first_seq, committed.inputs, committed.derived):
            for notice in self._notices.of(event, seq):
                self._notify(notice)

    # Stop.

    async def _watch_signals(self, task_status: trio.TaskStatus[None]) -> None:
        """First signal: a graceful stop. Second: stop at once; what is durable stays."""
        with self._watchdog.signals(self.stop, self._stop.is_set) as at_once:
            task_status.started()
            await at_once.wait()
            seq = self._durable_seq()
            raise EngineError(f"stopped at once by a second signal; the journal ends at seq {seq}")

    def _durable_seq(self) -> int:
        return self.committer.durable_seq

    async def _stop_after(self, seconds: float) -> None:
        await self._first_feed_input.wait()
        await trio.sleep(seconds)
        self.stop(_end_of(seconds))

    async def _settle_orders(self) -> None:
        """Stop trading as configured, and wait until no order is under way and no exit is owed.

        Openings are canceled in any case, and what the engine protects is placed at the venue if it stays.
        """
        if not self._stopping:
            self.ingress.put([OperatorCommand(self._now_ns(), "stop", detail=self._stopped_by)])
        with trio.move_on_after(STOP_S[self._plan.config.risk.on_stop]):
            await self._settled.wait()

    def _is_settled(self) -> bool:
        manager = self._manager()
        return not unsettled(manager) and not exits_owed(manager, self.sequencer.instruments)

    async def _project_rest(self, name: str, projector: Projector) -> None:
        """Write the last rows. A failure does not matter to the session: they can be written later."""
        with trio.move_on_after(PROJECT_S):
            try:
                await projector.flush()
            except EngineError as error:
                self._notify(Notice(name, "failed", str(error)))

    def _close_stores(self) -> None:
        for name, projector in self.projectors.items():
            try:
                projector.close()
            except EngineError as error:
                self._notify(Notice(name, "failed", str(error)))


def _end_of(seconds: float) -> str:
    return f"--for {seconds:g}s"

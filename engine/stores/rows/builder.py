"""Converts records to rows: what each event changes in the tables. Independent of any database.

Promises that the rows depend on the records alone, not on where a batch begins: what a batch needs of earlier
ones is read from the store, and sums are kept exactly. After a crash of a store without transactions records
may be applied again, even to rows that are ahead of them: the rows end up the same. Called by `StoreWriter`,
one builder for each batch.

The prices and sizes of an instrument that was never listed are null: without its scales they are not known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from engine.clock import iso_text
from engine.events import (
    ActivityBarClosed,
    ActorFailed,
    ActorRestarted,
    BarClosed,
    BarCorrected,
    CancelOrder,
    ClockJumped,
    DayOpened,
    EdgeChanged,
    EngineHalted,
    EngineLagging,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedLagging,
    FeedUp,
    InstrumentListed,
    LoginFailed,
    OperatorCommand,
    OrderAccepted,
    OrderCanceled,
    OrderChanged,
    OrderModified,
    OrderRefused,
    OrderRejected,
    OrderUnknown,
    PriceMarked,
    SessionStarted,
    SessionStopped,
    SignalRaised,
    SubmitOrder,
    TailRepaired,
    TargetSet,
    Trade,
)
from engine.stores.rows.bars import activity_bar_row, bar_row
from engine.stores.rows.books import BookRows
from engine.stores.rows.flow import FlowRows
from engine.stores.rows.tables import TABLES
from engine.stores.rows.units import Listing, record
from engine.stores.rows.venue import VenueRows
from engine.stores.store import Row, Rows, RowSource
from engine.values import side_name

__all__ = ["RowBuilder"]

Handler = Callable[[int, int, Any], None]


class RowBuilder:
    """The rows of one batch, for the tables that the store holds.

    `instruments` is the caller's; instruments that the records list are added to it.
    """

    def __init__(self, instruments: dict[int, Listing], store: RowSource) -> None:
        self.appended: dict[str, list[tuple[object, ...]]] = {name: [] for name in TABLES}
        self.changed: dict[str, dict[object, Row]] = {name: {} for name in TABLES}
        self.number = store.number
        self.time = getattr(store, "time", iso_text)
        self._instruments = instruments
        self._store = store
        handlers: dict[type[Event], tuple[str, Handler]] = {
            DayOpened: ("instruments", self._day_opened),
            InstrumentListed: ("instruments", self._listed),
            Trade: ("trades", self._trade),
            BarClosed: ("bars", self._bar),
            BarCorrected: ("bars", self._bar),
            ActivityBarClosed: ("activity_bars", self._activity_bar),
            PriceMarked: ("marks", self._mark),
            SignalRaised: ("signals", self._signal),
            TargetSet: ("targets", self._target),
            SubmitOrder: ("orders", self._submitted),
            OrderAccepted: ("orders", self._accepted),
            OrderRejected: ("orders", self._reason),
            OrderCanceled: ("orders", self._reason),
            OrderUnknown: ("orders", self._reason),
            OrderModified: ("orders", self._modified),
            CancelOrder: ("orders", self._reason),
            OrderChanged: ("orders", self._order_changed),
            OrderRefused: ("refusals", self._refused),
            FeedUp: ("feed_events", self._feed_up),
            FeedDown: ("feed_events", self._feed_down),
            FeedGap: ("feed_events", self._feed_gap),
            FeedDamaged: ("feed_events", self._feed_damaged),
            FeedLagging: ("feed_events", self._feed_lagging),
            SessionStarted: ("sessions", self._session_started),
            SessionStopped: ("sessions", self._session_stopped),
            ActorFailed: ("failures", self._actor_failed),
            EngineHalted: ("failures", self._halted),
            TailRepaired: ("failures", self._repaired),
            EdgeChanged: ("lifecycle", self._edge),
            ClockJumped: ("lifecycle", self._jumped),
            EngineLagging: ("lifecycle", self._lagging),
            OperatorCommand: ("lifecycle", self._operator),
            LoginFailed: ("lifecycle", self._login_failed),
            ActorRestarted: ("lifecycle", self._restarted),
            **BookRows(self).handlers,
            **VenueRows(self).handlers,
            **FlowRows(self).handlers,
        }
        self._handlers = {
            event_type: handler for event_type, (table, handler) in handlers.items() if table in store.tables
        }

    def rows(self) -> Rows:
        """Return what the records change, in the tables that the store holds."""
        tables = self._store.tables
        return Rows(
            {table: rows for table, rows in self.appended.items() if rows and table in tables},
            {table: rows for table, rows in self.changed.items() if rows and table in tables},
        )

    def add(self, seq: int, cause: int, event: Event) -> None:
        """Apply the next record. Events without rows are ignored."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(seq, cause, event)

    def learn(self, listed: InstrumentListed, seq: int | None = None) -> None:
        """Add an instrument; `seq` is None if it comes from a snapshot, not from a record."""
        number = listed.instrument
        row = {
            "instrument_id": number,
            "instrument": listed.name,
            "venue": listed.venue,
            "kind": listed.kind,
            "price_scale": listed.price_scale,
            "size_scale": listed.size_scale,
            "price_step": self.number(listed.price_step, listed.price_scale),
            "size_step": self.number(listed.size_step, listed.size_scale),
            "price_figures": listed.price_figures,
            "listed": iso_text(listed.recv_ns),
            "listed_ns": listed.recv_ns,
            "seq": seq,
        }
        self._instruments[number] = Listing.of_row(row, self.number)
        self.changed["instruments"][number] = row

    # The market.

    def _listed(self, seq: int, _cause: int, event: InstrumentListed) -> None:
        self.learn(event, seq)

    def _day_opened(self, _seq: int, _cause: int, event: DayOpened) -> None:
        for listed in event.instruments:
            if listed.instrument not in self._instruments:
                self.learn(listed)

    def _trade(self, seq: int, cause: int, event: Trade) -> None:
        named, scales, number = self.listing(event.instrument)
        recv_ns, venue_ns = event.recv_ns, event.venue_ns
        self.appended["trades"].append(
            (
                *(seq, cause, self.time(recv_ns), recv_ns, self.time(venue_ns), venue_ns),
                *named,
                None if scales is None else number(event.price, scales[0]),
                None if scales is None else number(event.size, scales[1]),
                side_name(event.aggressor),
                str(event.trade_id) if event.trade_id else None,
            )
        )

    def _bar(self, seq: int, cause: int, event: BarClosed) -> None:
        listing = self.listing(event.instrument)
        self.appended["bars"].append((*bar_row(event, listing), *record(seq, cause, event.at_ns)))

    def _activity_bar(self, seq: int, cause: int, event: ActivityBarClosed) -> None:
        row = activity_bar_row(event, self.listing(event.instrument))
        self.appended["activity_bars"].append((*row, *record(seq, cause, event.at_ns)))

    def _mark(self, seq: int, cause: int, event: PriceMarked) -> None:
        listing = self.listing(event.instrument)
        price = listing.price(event.price)
        self.appended["marks"].append((*record(seq, cause, event.at_ns), *listing.named, price))

    def _feed_up(self, seq: int, cause: int, event: FeedUp) -> None:
        self._feed(
            seq,
            cause,
            event.recv_ns,
            event.feed,
            "up",
            subscriptions=event.subscriptions,
            attempt=event.attempt,
        )

    def _feed_down(self, seq: int, cause: int, event: FeedDown) -> None:
        self._feed(
            seq, cause, event.recv_ns, event.feed, "down", reason=event.reason, backoff_ms=event.backoff_ms
        )

    def _feed_gap(self, seq: int, cause: int, event: FeedGap) -> None:
        name, number, venue = self.listing(event.instrument).named
        self._feed(
            *(seq, cause, event.recv_ns, event.feed, "gap"),
            instrument=name,
            instrument_id=number,
            venue=venue,
            from_time=iso_text(event.from_ns),
            from_ns=event.from_ns,
            to_time=iso_text(event.to_ns),
            to_ns=event.to_ns,
            closed=event.closed,
        )

    def _feed_damaged(self, seq: int, cause: int, event: FeedDamaged) -> None:
        named = self.listing(event.instrument).named if event.instrument else (None, None, None)
        self._feed(
            *(seq, cause, event.recv_ns, event.feed, "damaged"),
            instrument=named[0],
            instrument_id=named[1],
            venue=named[2],
            reason=event.reason,
            channel=event.channel or None,
            count=event.count,
            raw=event.raw or None,
        )

    def _feed_lagging(self, seq: int, cause: int, event: FeedLagging) -> None:
        late = f"the newest proof is {event.lag_ms} ms old" if event.lag_ms else "not late any more"
        self._feed(seq, cause, event.recv_ns, event.feed, "lagging", reason=late)

    def _feed(self, seq: int, cause: int, at_ns: int, feed: str, event: str, **columns: object) -> None:
        row = {"feed": feed, "event": event, **columns}
        names = list(TABLES["feed_events"].columns)[4:]
        self.appended["feed_events"].append((*record(seq, cause, at_ns), *(row.get(name) for name in names)))

    # What strategies decide.

    def _signal(self, seq: int, cause: int, event: SignalRaised) -> None:
        named = self.listing(event.instrument).named
        self.appended["signals"].append(
            (*record(seq, cause, event.at_ns), event.strategy, *named, event.name, event.value)
        )

    def _target(self, seq: int, cause: int, event: TargetSet) -> None:
        listing = self.listing(event.instrument)
        size = listing.size(event.size)
        self.appended["targets"].append(
            (*record(seq, cause, event.at_ns), event.strategy, *listing.named, size, event.reason)
        )

    def _refused(self, seq: int, cause: int, event: OrderRefused) -> None:
        listing = self.listing(event.instrument)
        self.appended["refusals"].append(
            (
                *record(seq, cause, event.at_ns),
                event.strategy,
                *listing.named,
                side_name(event.side),
                listing.size(event.size),
                event.limit,
                event.reason,
                event.request_seq,
            )
        )

    # The life of an order.

    def _submitted(self, seq: int, cause: int, event: SubmitOrder) -> None:
        listing = self.listing(event.instrument)
        terms = event.terms
        size = listing.size(terms.size)
        row = self.order(event.client_order_id, seq, cause, event.at_ns)
        self.own(row, event.strategy, listing)
        row |= {
            "side": side_name(terms.side),
            "size": size,
            "kind": terms.kind,
            "limit_price": listing.price(terms.limit) if terms.limit else None,
            "bound": listing.price(terms.bound) if terms.bound else None,
            "tif": terms.tif,
            "role": terms.role or None,
            "purpose": terms.purpose,
            "reduce_only": terms.reduce_only,
            "trigger": terms.trigger or None,
            "trigger_price": listing.price(terms.trigger_price) if terms.trigger_price else None,
            "parent": terms.parent or None,
            "order_group": terms.group or None,
            "handle": terms.handle or None,
            "asked_for": event.reason or None,
            "submitted": iso_text(event.at_ns),
            "submitted_ns": event.at_ns,
            "seq": seq,
            "cause": cause,
        }
        if row["state"] is None:
            row |= {"state": "PendingNew", "filled": listing.size(0), "remaining": size}

    def _accepted(self, seq: int, cause: int, event: OrderAccepted) -> None:
        row = self.order(event.client_order_id, seq, cause, event.recv_ns)
        row["venue_order_id"] = str(event.venue_order_id)

    def _reason(
        self, seq: int, cause: int, event: OrderRejected | OrderCanceled | OrderUnknown | CancelOrder
    ) -> None:
        at_ns = event.at_ns if isinstance(event, CancelOrder) else event.recv_ns
        row = self.order(event.client_order_id, seq, cause, at_ns)
        row["reason"] = event.reason or row["reason"]

    def _modified(self, seq: int, cause: int, event: OrderModified) -> None:
        listing = self.listing(event.instrument)
        row = self.order(event.client_order_id, seq, cause, event.recv_ns)
        row["limit_price"] = listing.price(event.limit_price)
        row["venue_order_id"] = str(event.venue_order_id)

    def _order_changed(self, seq: int, cause: int, event: OrderChanged) -> None:
        listing = self.listing(event.instrument)
        row = self.order(event.client_order_id, seq, cause, event.at_ns)
        self.own(row, event.strategy, listing)
        row["state"] = event.state
        row["filled"] = listing.size(event.filled)
        row["remaining"] = listing.size(event.remaining)

    def label(self, instrument: int) -> str:
        """Return an instrument's name where it is one column only: with its venue if others have it too."""
        name, _, venue = self.listing(instrument).named
        names = [one.named[0] for one in self._instruments.values()]
        return f"{venue}:{name}" if names.count(name) > 1 else name

    def trade_ids(self, key: str) -> dict[str, int]:
        """Return the stored trade ids of an order's fills, each with the seq of its first row."""
        return self._store.trade_ids(key)

    def order(self, key: str, seq: int, cause: int, at_ns: int) -> Row:
        """Return the row of an order to change; a record at this time changes it."""
        row = self.row("orders", key)
        if row is None:
            row = dict.fromkeys(TABLES["orders"].columns)
            row |= {"client_order_id": key, "seq": seq, "cause": cause}
            self.changed["orders"][key] = row
        row |= {"updated": iso_text(at_ns), "updated_ns": at_ns, "updated_seq": seq}
        return row

    def own(self, row: Row, strategy: str | None, listing: Listing) -> None:
        """Set the owner and the market of an order."""
        row["strategy"] = strategy
        row["instrument"], row["instrument_id"], row["venue"] = listing.named

    # The engine itself.

    def _session_started(self, seq: int, _cause: int, event: SessionStarted) -> None:
        row = self._session(event.session)
        row |= {
            "mode": event.mode,
            "started": iso_text(event.recv_ns),
            "started_ns": event.recv_ns,
            "version": event.version,
            "schema": event.schema,
            "code": event.code,
            "strategies": json.dumps(event.strategies, ensure_ascii=False),
            "config": event.config,
            "seq": seq,
        }

    def _session_stopped(self, seq: int, _cause: int, event: SessionStopped) -> None:
        row = self._session(event.session)
        row |= {
            "stopped": iso_text(event.recv_ns),
            "stopped_ns": event.recv_ns,
            "stop_reason": event.reason,
            "stop_seq": seq,
        }

    def _session(self, session: str) -> Row:
        row = self.row("sessions", session)
        if row is None:
            row = dict.fromkeys(TABLES["sessions"].columns)
            row["session"] = session
            self.changed["sessions"][session] = row
        return row

    def _actor_failed(self, seq: int, cause: int, event: ActorFailed) -> None:
        what = ("ActorFailed", event.actor, event.seq, event.error, event.policy)
        self.appended["failures"].append((*record(seq, cause, event.at_ns), *what))

    def _halted(self, seq: int, cause: int, event: EngineHalted) -> None:
        what = ("EngineHalted", None, None, event.reason, "halt")
        self.appended["failures"].append((*record(seq, cause, event.at_ns), *what))

    def _repaired(self, seq: int, cause: int, event: TailRepaired) -> None:
        error = f"{event.file}: {event.length} bytes at offset {event.offset} set aside in {event.saved_as}"
        what = ("TailRepaired", None, None, error, None)
        self.appended["failures"].append((*record(seq, cause, event.recv_ns), *what))

    def _edge(self, seq: int, cause: int, event: EdgeChanged) -> None:
        what = ("EdgeChanged", event.actor, event.state, event.detail, event.restarts)
        self.appended["lifecycle"].append((*record(seq, cause, event.recv_ns), *what))

    def _jumped(self, seq: int, cause: int, event: ClockJumped) -> None:
        detail = f"from {iso_text(event.from_ns)} to {iso_text(event.to_ns)}"
        what = ("ClockJumped", "clock", event.cause, detail, None)
        self.appended["lifecycle"].append((*record(seq, cause, event.recv_ns), *what))

    def _lagging(self, seq: int, cause: int, event: EngineLagging) -> None:
        state = "lagging" if event.lag_ms else "running"
        detail = f"{event.lag_ms} ms late"
        if event.handler:
            detail += f"; {event.handler} took {event.handler_ms} ms"
        what = ("EngineLagging", "engine", state, detail, None)
        self.appended["lifecycle"].append((*record(seq, cause, event.recv_ns), *what))

    def _operator(self, seq: int, cause: int, event: OperatorCommand) -> None:
        what = ("OperatorCommand", event.target or None, event.command, event.detail, None)
        self.appended["lifecycle"].append((*record(seq, cause, event.recv_ns), *what))

    def _login_failed(self, seq: int, cause: int, event: LoginFailed) -> None:
        what = ("LoginFailed", "api", event.reason, f"from {event.address}", None)
        self.appended["lifecycle"].append((*record(seq, cause, event.recv_ns), *what))

    def _restarted(self, seq: int, cause: int, event: ActorRestarted) -> None:
        detail = f"state rebuilt from {event.events} records"
        what = ("ActorRestarted", event.actor, "running", detail, None)
        self.appended["lifecycle"].append((*record(seq, cause, event.at_ns), *what))

    # Lookups.

    def listing(self, number: int) -> Listing:
        """Return the listing of an instrument, listed or not."""
        listing = self._instruments.get(number)
        if listing is None:
            return Listing.unknown(number, self.number)
        return listing

    def row(self, table: str, key: str) -> Row | None:
        """Return the row of this batch to change; if there is none, a copy of the stored one is added."""
        row = self.changed[table].get(key)
        if row is None:
            row = self._store.row(table, key)
            if row is not None:
                self.changed[table][key] = row
        return row

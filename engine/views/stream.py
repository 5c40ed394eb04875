"""The messages of a stream: what records changed in a view, as JSON that is made once for all readers.

Owns which record makes which message. Facts come one by one (`changes`): fills, orders, positions, bars,
gaps, commands, halts; of several changes of one thing in the same records the last one counts. Prices, and
what follows from them, come as the newest state of each market (`flush`), as often as the caller likes. Every
message holds the whole state of its thing, so a repeated one does no harm.

Called by the server, after it has given the same records to the view; not while nobody reads the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import msgspec

from engine.events import (
    AccountMarked,
    ActivityBarClosed,
    ActorFailed,
    ActorRestarted,
    BarClosed,
    BarCorrected,
    BookRead,
    CancelOrder,
    Candle,
    ClockJumped,
    CommandAnswered,
    ContextRead,
    DayOpened,
    EdgeChanged,
    EngineHalted,
    EngineLagging,
    EquityMarked,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedLagging,
    FeedPolling,
    FeedUp,
    FillBooked,
    GatewayDown,
    GatewayUp,
    HaltsChanged,
    InstrumentListed,
    LogWritten,
    MarketHalted,
    OperatorCommand,
    OrderAccepted,
    OrderChanged,
    OrderModified,
    OrderRead,
    OrderRefused,
    OrderRequested,
    OrderUnknown,
    ParameterSet,
    PositionChanged,
    ProtectionChanged,
    Quote,
    SessionStarted,
    SessionStopped,
    SignalRaised,
    StopChanged,
    StrategyStopped,
    TailRepaired,
    TargetChanged,
    TargetSet,
    Trade,
    TrailChanged,
)
from engine.events.codec import Record
from engine.values import interval_name
from engine.views import market_rows
from engine.views.account import fill_row
from engine.views.health import gap_row
from engine.views.market_shapes import BarMessage, BookMessage
from engine.views.orders import refusal_row
from engine.views.shapes import Hello
from engine.views.units import ms
from engine.views.view import View

__all__ = ["SLOW_EVERY", "Changes", "StreamMessage"]

SLOW_EVERY: Final = 4
"""Bars that form and distances of orders come with every so many flushes."""

_encode = msgspec.json.Encoder().encode


class StreamMessage(NamedTuple):
    """One message: its id, its kind (see `MESSAGES` in `answers.py`) and its data as JSON."""

    seq: int
    kind: str
    data: bytes


Key = tuple[Any, ...]

_EVERYTHING: Final[list[Key]] = [("status",), ("strategies",), ("equity",)]
"""What a halt, a day or an operator changes."""


class Changes:
    """Notes what records change, and makes messages of it."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._prices: dict[int, None] = {}
        self._books: dict[int, None] = {}
        self._slow: dict[int, None] = {}
        self._signals: dict[Key, tuple[int, SignalRaised]] = {}
        self._strategies: dict[str, None] = {}
        self._flushes = 0
        self._keys: dict[type[Event], Callable[[int, Any], Iterable[Key]]] = {
            FillBooked: lambda seq, fill: [("fill", seq, fill), ("order", fill.client_order_id)],
            **dict.fromkeys(
                (OrderChanged, OrderAccepted, OrderModified, OrderRead, OrderUnknown, CancelOrder),
                lambda _, one: [("order", one.client_order_id)],
            ),
            OrderRefused: lambda seq, refused: [("refusal", seq, refused), ("strategy", refused.strategy)],
            StopChanged: lambda _, stop: self._of_book(stop.instrument, stop.strategy, stop),
            TrailChanged: lambda _, trail: self._of_book(trail.instrument, trail.strategy, trail),
            PositionChanged: lambda _, one: self._of_book(one.instrument, one.strategy),
            ProtectionChanged: lambda _, one: self._of_book(one.instrument, one.owner),
            TargetChanged: lambda _, one: [("position", one.instrument, one.strategy)],
            EquityMarked: lambda _, __: [("equity",)],
            AccountMarked: lambda _, __: [("equity",)],
            BarClosed: lambda seq, bar: [("bar", seq, bar)],
            BarCorrected: lambda seq, bar: [("bar", seq, bar)],
            ActivityBarClosed: lambda seq, bar: [("bar", seq, bar)],
            FeedUp: lambda _, one: [("feed", one.feed), ("status",)],
            FeedDown: lambda seq, one: [("feed", one.feed), ("gap", seq, one), ("status",)],
            FeedLagging: lambda _, one: [("feed", one.feed)],
            FeedPolling: lambda _, one: [("feed", one.feed)],
            GatewayUp: lambda _, one: [("feed", one.gateway), ("status",)],
            GatewayDown: lambda _, one: [("feed", one.gateway), ("status",)],
            EdgeChanged: lambda _, one: [("feed", one.actor)],
            FeedGap: lambda seq, one: [("gap", seq, one)],
            FeedDamaged: lambda seq, one: [("gap", seq, one)],
            ClockJumped: lambda seq, one: [("gap", seq, one)],
            TailRepaired: lambda seq, one: [("gap", seq, one)],
            EngineLagging: lambda _, __: [("status",)],
            OperatorCommand: lambda seq, _: [("command", seq), *_EVERYTHING],
            DayOpened: lambda _, __: _EVERYTHING,
            CommandAnswered: lambda _, answered: [("command", answered.seq), ("strategies",)],
            InstrumentListed: lambda _, listed: [("instrument", listed.instrument)],
            **dict.fromkeys(
                (SessionStarted, SessionStopped, EngineHalted, MarketHalted, ActorFailed, ActorRestarted),
                lambda _, __: _EVERYTHING,
            ),
            StrategyStopped: lambda _, __: _EVERYTHING,
            HaltsChanged: lambda _, __: _EVERYTHING,
            ParameterSet: lambda _, one: [("strategy", one.strategy)],
        }
        self._makers: dict[str, Callable[..., Iterable[tuple[str, Any]]]] = {
            "fill": self._fill,
            "order": self._order,
            "engine": self._engine_orders,
            "over": self._over,
            "refusal": self._refusal,
            "position": self._position,
            "equity": lambda: [("equity", self.view.account_row())],
            "bar": self._bar,
            "feed": self._feed,
            "gap": self._gap,
            "status": lambda: [("status", self.view.status())],
            "command": self._command,
            "instrument": self._instrument,
            "strategy": lambda owner: [("strategy", self.view.strategy_row(owner))],
            "strategies": lambda: [("strategy", row) for row in self.view.strategies().strategies],
        }

    def hello(self) -> Hello:
        """Return the data of the first message of a stream."""
        view, trading = self.view, self.view.trading
        return Hello(
            view.journal,
            view.seq,
            ms(view.at_ns),
            trading.started.mode if trading.started is not None else "",
            trading.real,
            trading.running,
            view.recorded,
            view.read_only,
        )

    def changes(self, records: Iterable[Record]) -> list[StreamMessage]:
        """Return messages of what the records changed, by rising seq. The view has applied them."""
        changed: dict[Key, int] = {}
        keys = self._keys
        for seq, _, event in records:
            kind = event.__class__
            if kind is Trade:
                self._prices[event.instrument] = None  # type: ignore[attr-defined]
            elif kind in keys:
                for key in keys[kind](seq, event):
                    changed.pop(key, None)
                    changed[key] = seq
            else:
                self._note(kind, seq, event)
        if not changed:
            return []
        return [
            StreamMessage(seq, kind, _encode(row))
            for key, seq in changed.items()
            for kind, row in self._makers[key[0]](*key[1:])
        ]

    def flush(self) -> list[StreamMessage]:
        """Return the newest prices of the markets that moved since, and what follows from them."""
        view, seq = self.view, self.view.seq
        self._flushes += 1
        found: list[tuple[str, Any]] = []
        for number in self._prices:
            if number in view.markets.by_number:
                found.append(("price", view.price_row(number)))
                found += self._valued(number)
        for number in self._books:
            found += self._book(number)
        self._slow.update(self._prices)
        if self._flushes % SLOW_EVERY == 0:
            for number in self._slow:
                found += self._forming(number)
                found += self._distances(number)
            self._slow.clear()
        found += [("signal", view.trading.signal_row(*kept)) for kept in self._signals.values()]
        owners = {*view.owners(), *view.trading.lines, *view.trading.reasons} if self._strategies else ()
        found += [("strategy", view.strategy_row(owner)) for owner in self._strategies if owner in owners]
        for noted in (self._prices, self._books, self._signals, self._strategies):
            noted.clear()
        return [StreamMessage(seq, kind, _encode(row)) for kind, row in found]

    def _note(self, kind: type[Event], seq: int, event: Any) -> None:
        """Note what the next flush shows."""
        if kind in (Quote, ContextRead, Candle):
            self._prices[event.instrument] = None
        elif kind is BookRead:
            self._prices[event.instrument] = self._books[event.instrument] = None
        elif kind is SignalRaised:
            self._signals[event.strategy, event.instrument, event.name] = seq, event
        elif kind in (TargetSet, LogWritten, OrderRequested):
            self._strategies[event.strategy] = None

    def _of_book(self, number: int, owner: str, stop: StopChanged | TrailChanged | None = None) -> list[Key]:
        keys: list[Key] = [("position", number, owner), ("engine", number, owner)]
        if stop is not None and stop.state in ("fired", "dropped"):
            keys.append(("over", stop))
        return keys

    # Messages of what changed: (kind, row).

    def _fill(self, seq: int, fill: FillBooked) -> Iterable[tuple[str, Any]]:
        market = self.view.markets.by_number.get(fill.instrument)
        if market is not None:
            yield "fill", fill_row(seq, fill, market.listed, self.view.label(fill.instrument))

    def _order(self, client_order_id: str) -> Iterable[tuple[str, Any]]:
        order = self.view.order_states.of(client_order_id)
        row = None if order is None else self.view.order_row(client_order_id, order)
        if row is not None:
            yield "order", row
            if row.trigger:  # the engine watches less, or more, of its stop
                assert order is not None
                yield from self._engine_orders(order.instrument, order.owner)
                yield from self._position(order.instrument, order.owner)

    def _engine_orders(self, number: int, owner: str) -> Iterable[tuple[str, Any]]:
        for row in self.view.engine_rows((number, owner)):
            yield "order", row

    def _over(self, stop: StopChanged | TrailChanged) -> Iterable[tuple[str, Any]]:
        market = self.view.markets.by_number.get(stop.instrument)
        if market is not None:
            label = self.view.label(stop.instrument)
            yield "order", self.view.order_states.engine_row(self.view.seq, stop, 0, market, label)

    def _refusal(self, seq: int, refused: OrderRefused) -> Iterable[tuple[str, Any]]:
        market = self.view.markets.by_number.get(refused.instrument)
        if market is not None:
            yield "refusal", refusal_row(seq, refused, market.listed, self.view.label(refused.instrument))

    def _position(self, number: int, owner: str) -> Iterable[tuple[str, Any]]:
        if number in self.view.markets.by_number:
            yield "position", self.view.position_row((number, owner))

    def _bar(self, seq: int, bar: BarClosed | ActivityBarClosed) -> Iterable[tuple[str, Any]]:
        market = self.view.markets.by_number.get(bar.instrument)
        if market is not None:
            row = market_rows.bar_row(market.listed, seq, bar)
            kind = bar.kind if isinstance(bar, ActivityBarClosed) else interval_name(bar.interval_ns)
            yield "bar", BarMessage(self.view.label(bar.instrument), kind, False, row)

    def _feed(self, name: str) -> Iterable[tuple[str, Any]]:
        edge = self.view.health_state.edges.get(name)
        if edge is not None:
            yield "feed", self.view.health_state.feed_row(edge)

    def _gap(self, seq: int, event: Event) -> Iterable[tuple[str, Any]]:
        yield "gap", gap_row(seq, event, self.view.markets.instruments.labels())

    def _command(self, seq: int) -> Iterable[tuple[str, Any]]:
        command = self.view.trading.commands.get(seq)
        if command is not None:
            yield "command", self.view.trading.command_row(seq, command)

    def _instrument(self, number: int) -> Iterable[tuple[str, Any]]:
        yield "instrument", self.view.instrument_row(number)

    # Messages of a flush.

    def _valued(self, number: int) -> Iterable[tuple[str, Any]]:
        """Positions follow the price."""
        for key in self.view.book_keys():
            if key[0] == number:
                yield "position", self.view.position_row(key)

    def _book(self, number: int) -> Iterable[tuple[str, Any]]:
        market = self.view.markets.by_number.get(number)
        if market is not None and market.book is not None:
            book = market.book[1]
            bids, asks = (market_rows.book_levels(market.listed, side) for side in (book.bids, book.asks))
            yield "book", BookMessage(self.view.label(number), bids, asks, ms(book.recv_ns))

    def _forming(self, number: int) -> Iterable[tuple[str, Any]]:
        market = self.view.markets.by_number.get(number)
        for span in market.built() if market is not None else ():
            assert market is not None
            row = market_rows.forming_row(market, span, self.view.at_ns)
            if row is not None:
                yield "bar", BarMessage(self.view.label(number), interval_name(span), True, row)

    def _distances(self, number: int) -> Iterable[tuple[str, Any]]:
        """Orders are further from the market, or nearer."""
        for row in self.view.working_rows(number):
            if row.distance is not None:
                yield "order", row

"""A view: what a person sees of a journal, as a projection of its records.

Owns the answers to every query of the API. A view takes the records of one journal in their order
(`apply`), begins with the state that a day opens with, and answers at any moment for the newest record that
it has. One code serves a live session and a recorded day. It reads no clock and no file. What it remembers is
bounded (see the constants of its parts); older records are read from the journal (`older.py`).

Called by the server, and by the stream of messages (`stream.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from engine.clock import day_of
from engine.errors import UsageError
from engine.events import FeedGap, FillBooked, engine_time
from engine.events.render import Renderer, event_type
from engine.values import format_scaled, interval_name, parse_interval, side_name
from engine.views import market_rows
from engine.views.account import fill_row
from engine.views.answers import (
    Bars,
    Book,
    Contexts,
    EquityCurve,
    EventRows,
    Fills,
    Flow,
    Gaps,
    Health,
    InstrumentRows,
    Liquidations,
    Marks,
    Orders,
    Positions,
    Signals,
    Status,
    Strategies,
    Trades,
)
from engine.views.health import gap_row
from engine.views.market_shapes import BarRow, LiquidationRow, SpanRow
from engine.views.markets import Market
from engine.views.marks import mark_of
from engine.views.orders import refusal_row
from engine.views.projection import EVENTS_MAX, FREQUENT, Projection
from engine.views.records import record_row
from engine.views.shapes import FillRow
from engine.views.units import ms, size_text

__all__ = ["LIMIT_MAX", "View", "limited"]

LIMIT_MAX: Final = 2_000
"""Most rows of one answer."""

_COMMANDS_SHOWN: Final = 5


class View(Projection):
    """See the module. Limits are 1 to `LIMIT_MAX`; another one raises UsageError."""

    def copy(self) -> View:
        """Return a copy that is changed on its own."""
        twin = super().copy()
        assert isinstance(twin, View)
        return twin

    @property
    def _head(self) -> dict[str, Any]:
        return {"journal": self.journal, "seq": self.seq, "at_ms": ms(self.at_ns)}

    def status(self) -> Status:
        """Return what is going on."""
        trading, started = self.trading, self.trading.started
        feeds = self.health_state.feeds()
        prices = [market_rows.price_row(market, "").price_ms for market in self.markets.by_number.values()]
        return Status(
            **self._head,
            mode=started.mode if started is not None else "",
            armed=trading.real,
            running=trading.running,
            stopping=trading.stopping,
            session=started.session if started is not None else "",
            started_ms=ms(started.recv_ns) if started is not None else 0,
            version=started.version if started is not None else "",
            day=day_of(self.at_ns),
            network=trading.network,
            account_id=trading.account_id,
            halts=trading.halts(),
            account=self.account_row(),
            positions=sum(1 for _, changed in self.account.books.values() if changed.size),
            orders=len(self.order_states.live),
            fills_today=self.account.fills_today,
            refusals_today=self.order_states.refused_today,
            feeds=len(feeds),
            feeds_up=sum(edge.state == "up" for edge in feeds),
            gaps_today=self.health_state.gaps_today,
            lag_ms=self.health_state.lag_ms,
            newest_price_ms=max(prices, default=0),
            read_only=self.read_only,
            recorded=self.recorded,
            commands=trading.command_rows(_COMMANDS_SHOWN),
        )

    def instruments(self) -> InstrumentRows:
        """Return every instrument, those of the session first."""
        rows = [self.instrument_row(number) for number in self.markets.by_number]
        rows.sort(key=lambda row: not row.traded)
        return InstrumentRows(**self._head, instruments=rows)

    def bars(
        self,
        instrument: str,
        interval: str,
        *,
        before_ms: int | None = None,
        limit: int = 500,
    ) -> Bars:
        """Return the newest bars that begin before a time. Raises UsageError.

        `interval` is a name such as "1m", or the kind of activity bars, such as "volume:50".
        """
        market = self.market(instrument)
        limited(limit)
        if interval in market.activity:
            return self._activity_bars(market, interval, before_ms, limit)
        span = parse_interval(interval)
        series = market.bars.get(span, {})
        found: list[BarRow] = []
        for start_ns, (seq, bar) in reversed(series.items()):
            if before_ms is None or ms(start_ns) < before_ms:
                if len(found) == limit:
                    break
                found.append(market_rows.bar_row(market.listed, seq, bar))
        found.reverse()
        oldest = ms(next(iter(series))) if series else 0
        forming = market_rows.forming_row(market, span, self.at_ns) if before_ms is None else None
        return Bars(
            **self._head,
            instrument=self.label(market.listed.instrument),
            interval=interval_name(span),
            bars=found,
            forming=forming,
            gaps=self._spans(market),
            more=bool(found) and (found[0].start_ms > oldest or self.first_seq > 1),
        )

    def _activity_bars(self, market: Market, kind: str, before_ms: int | None, limit: int) -> Bars:
        rows = [market_rows.bar_row(market.listed, seq, bar) for seq, bar in market.activity[kind]]
        found = [row for row in rows if before_ms is None or row.start_ms < before_ms][-limit:]
        return Bars(
            **self._head,
            instrument=self.label(market.listed.instrument),
            interval=kind,
            bars=found,
            forming=None,
            gaps=self._spans(market),
            more=len(found) < len(rows) and before_ms is None,
        )

    def _spans(self, market: Market) -> list[SpanRow]:
        """Return where trades of a market may be missing, oldest first."""
        number = market.listed.instrument
        spans = []
        for seq, event in self.health_state.gaps:
            if isinstance(event, FeedGap) and event.instrument == number and not event.closed:
                spans.append(SpanRow(ms(event.from_ns), ms(event.to_ns), "gap", event.feed, seq))
        spans += [
            SpanRow(ms(edge.since_ns), None, "down", edge.reason, edge.seq)
            for edge in self.health_state.feeds()
            if edge.state == "down"
        ]
        return sorted(spans, key=lambda span: span.from_ms)

    def book(self, instrument: str) -> Book:
        """Return the newest book of an instrument. Raises UsageError."""
        market = self.market(instrument)
        listed, label = market.listed, self.label(market.listed.instrument)
        if market.book is not None:
            seq, book = market.book
            bids, asks = (market_rows.book_levels(listed, side) for side in (book.bids, book.asks))
            at_ms = ms(book.recv_ns)
            return Book(
                **self._head,
                instrument=label,
                bids=bids,
                asks=asks,
                depth=True,
                book_seq=seq,
                book_ms=at_ms,
            )
        seq, at_ns, bid, bid_size, ask, ask_size = market.best() or (0, 0, 0, 0, 0, 0)
        return Book(
            **self._head,
            instrument=label,
            bids=market_rows.book_levels(listed, [(bid, bid_size, 0)] if bid else []),
            asks=market_rows.book_levels(listed, [(ask, ask_size, 0)] if ask else []),
            depth=False,
            book_seq=seq,
            book_ms=ms(at_ns),
        )

    def positions(self) -> Positions:
        """Return every book that is not flat, or of which something is wanted."""
        return Positions(**self._head, positions=[self.position_row(key) for key in self.book_keys()])

    def orders(self, *, limit: int = 100) -> Orders:
        """Return the orders and stops that may still fill, the latest that ended, the latest refusals."""
        limited(limit)
        ended = islice(reversed(self.order_states.ended.items()), limit)
        rows = [self.order_row(name, order) for name, order in ended]
        return Orders(
            **self._head,
            working=self.working_rows(),
            ended=[row for row in rows if row is not None],
            refusals=[
                refusal_row(seq, refused, market.listed, self.label(refused.instrument))
                for seq, refused in islice(reversed(self.order_states.refusals), limit)
                if (market := self.markets.by_number.get(refused.instrument)) is not None
            ],
        )

    def fills(self, *, after: int | None = None, before: int | None = None, limit: int = 200) -> Fills:
        """Return the oldest fills with a seq above `after`, else the newest, with a seq below `before`."""
        limited(limit)
        rows = self.fill_rows()
        if after is not None:
            found = [row for row in rows if row.seq > after][:limit]
            return Fills(**self._head, fills=found, more=bool(found) and found[-1].seq < rows[-1].seq)
        older = [row for row in rows if before is None or row.seq < before]
        more = len(older) > limit or self.first_seq > 1
        return Fills(**self._head, fills=older[-limit:], more=more)

    def fill_rows(self) -> list[FillRow]:
        """Return the fills that are remembered, oldest first."""
        return [
            fill_row(seq, fill, market.listed, self.label(fill.instrument))
            for seq, fill in self.account.fills
            if (market := self.markets.by_number.get(fill.instrument)) is not None
        ]

    def trades(self, instrument: str, *, limit: int = 50) -> Trades:
        """Return the latest trades of an instrument, newest first. Raises UsageError."""
        market = self.market(instrument)
        limited(limit)
        rows = [market_rows.trade_row(market.listed, kept) for kept in islice(reversed(market.trades), limit)]
        return Trades(**self._head, instrument=self.label(market.listed.instrument), trades=rows)

    def equity(self) -> EquityCurve:
        """Return the account and the curve of its equity."""
        return EquityCurve(**self._head, account=self.account_row(), points=self.account.points())

    def strategies(self) -> Strategies:
        """Return every strategy, then other owners of books."""
        return Strategies(**self._head, strategies=[self.strategy_row(owner) for owner in self.owners()])

    def signals(self) -> Signals:
        """Return the latest signals."""
        return Signals(**self._head, series=self.trading.all_series())

    def flow(self, instrument: str, interval: str = "", *, limit: int = 100) -> Flow:
        """Return the order flow of an instrument, of one interval if given. Raises UsageError."""
        market = self.market(instrument)
        limited(limit)
        span = parse_interval(interval) if interval else 0
        listed, label = market.listed, self.label(market.listed.instrument)

        def newest(series: dict[int, dict[int, tuple[int, Any]]]) -> Sequence[tuple[int, Any]]:
            one = series.get(span or min(series, default=0), {})
            return list(one.values())[-limit:]

        return Flow(
            **self._head,
            instrument=label,
            interval=interval,
            footprints=[market_rows.footprint_row(listed, kept) for kept in newest(market.footprints)],
            profiles=[market_rows.profile_row(listed, kept) for kept in newest(market.profiles)],
            large=[market_rows.large_row(listed, kept) for kept in list(market.large)[-limit:]],
            samples=[market_rows.sample_row(listed, kept) for kept in newest(market.samples)],
            liquidations=[
                self._liquidation(seq, fill, market)
                for seq, fill in self.account.fills
                if fill.instrument == listed.instrument and fill.cause in ("liquidation", "adl")
            ][-limit:],
        )

    def liquidations(self, instrument: str, interval: str = "", *, limit: int = 300) -> Liquidations:
        """Return what was closed by force in an instrument, of others. Raises UsageError."""
        market = self.market(instrument)
        limited(limit)
        span = parse_interval(interval) if interval else min(market.heat, default=0)
        listed = market.listed
        windows = sorted(market.heat.get(span, {}).items())[-limit:]
        return Liquidations(
            **self._head,
            instrument=self.label(listed.instrument),
            interval=interval_name(span) if span else "",
            intervals=[interval_name(one) for one in sorted(market.heat)],
            windows=[market_rows.forced_window(listed, kept) for _, kept in windows],
            liquidations=[market_rows.forced_row(listed, kept) for kept in list(market.forced)[-limit:]],
        )

    def contexts(self, instrument: str, *, limit: int = 2_000) -> Contexts:
        """Return open interest and funding of an instrument over time. Raises UsageError."""
        market = self.market(instrument)
        limited(limit)
        return Contexts(
            **self._head,
            instrument=self.label(market.listed.instrument),
            points=[market_rows.context_point(kept) for _, kept in sorted(market.contexts.items())[-limit:]],
            rates=[market_rows.settled_rate(kept) for kept in list(market.rates)[-limit:]],
        )

    def _liquidation(self, seq: int, fill: FillBooked, market: Market) -> LiquidationRow:
        listed = market.listed
        price = format_scaled(fill.price, listed.price_scale + fill.finer)
        side, label = side_name(fill.side), self.label(fill.instrument)
        return LiquidationRow(
            seq, ms(fill.at_ns), label, price, size_text(listed, fill.size), side, fill.cause
        )

    def health(self, lines: Mapping[str, str] | None = None) -> Health:
        """Return how the engine is. `lines` are what only the process knows, by name."""
        health, config = self.health_state, self.trading.config
        listed = [market.listed for market in self.markets.by_number.values()]
        limits = [one.rules.requests_per_minute for one in listed]
        offset_ns = health.farthest_ns({one.venue for one in listed})
        return Health(
            **self._head,
            feeds=[health.feed_row(edge) for edge in health.edges.values()],
            lag_ms=health.lag_ms,
            lag_handler=health.lag_handler,
            clock_offset_ms=None if offset_ns is None else ms(offset_ns),
            clock_checked_ms=ms(health.checked_ns),
            reconciled_ms=ms(health.reconciled_ns),
            unreconciled=health.unreconciled,
            commands_minute=health.last_minute(health.commands_ns, self.at_ns),
            requests_minute_max=max(limits, default=0),
            approvals_minute=health.last_minute(health.approvals_ns, self.at_ns),
            orders_minute_max=config.risk.max_orders_per_minute if config is not None else 0,
            failures=[
                (ms(failed.at_ns), seq, failed.actor, failed.error) for seq, failed in self.trading.failures
            ],
            records=self.records,
            lines=dict(lines or {}),
        )

    def gaps(self, *, limit: int = 200) -> Gaps:
        """Return the latest gaps, disconnections, damages and jumps, newest first."""
        limited(limit)
        labels = self.markets.instruments.labels()
        rows = [gap_row(seq, event, labels) for seq, event in islice(self.health_state.gaps, limit)]
        return Gaps(**self._head, gaps=rows)

    def marks(self) -> Marks:
        """Return the moments that are remembered: among the latest records."""
        found = [mark_of(self, seq, event) for seq, _, event in self.recent]
        return Marks(
            **self._head,
            first_seq=self.first_seq,
            last_seq=self.seq,
            first_ms=ms(engine_time(self.recent[0][2])) if self.recent else 0,
            last_ms=ms(self.at_ns),
            marks=[mark for mark in found if mark is not None],
            complete=len(self.recent) < EVENTS_MAX,
        )

    def events(
        self,
        *,
        after: int | None = None,
        limit: int = 200,
        kinds: Collection[str] = (),
        fields: bool = False,
    ) -> EventRows | None:
        """Return the oldest records with a seq above `after`, else the newest, by rising seq.

        `kinds` are names of event types; without any, all but the `FREQUENT` ones. None if the view does not
        remember all of them: the journal has them (`older.py`). Raises UsageError.
        """
        limited(limit)
        wanted = {event_type(name) for name in kinds}
        if wanted & FREQUENT:
            return None
        full = len(self.recent) == self.recent.maxlen
        begins = self.recent[0][0] if full and self.recent else self.first_seq
        chosen = [record for record in self.recent if not wanted or record[2].__class__ in wanted]
        if after is not None:
            if after + 1 < begins and begins > 1:
                return None
            found = [record for record in chosen if record[0] > after]
            next_after = found[limit - 1][0] if len(found) > limit else None
            found = found[:limit]
        else:
            found, next_after = chosen[-limit:], None
            if len(found) < limit and begins > 1:
                return None
        renderer = Renderer(self.markets.instruments.values())
        rows = [record_row(renderer, record, fields=fields) for record in found]
        return EventRows(**self._head, events=rows, next_after=next_after)


def limited(limit: int) -> None:
    """Raise UsageError for a limit that no answer has."""
    if not 1 <= limit <= LIMIT_MAX:
        raise UsageError(f"limit is {limit}; it is 1 to {LIMIT_MAX}")

"""The state of a view: its parts, and how records change them.

Owns the routing of records to the parts, the newest records of each kind but market data, and the rows that
need several parts (positions, orders, strategies). `View` (`view.py`) answers queries with it, `Messages`
(`stream.py`) makes messages of it. Promises that a copy changes on its own, at a cost that does not grow with
the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any, Final

from engine.actors.books.book import EXTERNAL, MANUAL
from engine.actors.books.ledger import account_currency
from engine.actors.rescaling import Change, rescaled
from engine.config import StrategyConfig
from engine.events import (
    BookRead,
    ClockAdvanced,
    ContextRead,
    DayOpened,
    Event,
    FeedHeard,
    InstrumentListed,
    LiquidationRead,
    MidsRead,
    OperatorCommand,
    PositionChanged,
    Quote,
    SessionStarted,
    TimerFired,
    Trade,
    engine_time,
)
from engine.events.codec import Record
from engine.instruments import is_among
from engine.values import format_scaled
from engine.views import market_rows
from engine.views.account import Account, BookKey, money_scale, position_gain
from engine.views.health import HealthState
from engine.views.market_shapes import InstrumentRow, PriceRow
from engine.views.markets import Market, Markets
from engine.views.orders import Orders, OrderState
from engine.views.seeding import seed
from engine.views.shapes import AccountRow, OrderRow, PositionRow, StrategyBook, StrategyRow
from engine.views.trading import Defaults, Trading, no_defaults
from engine.views.units import average_text, ms, size_text, sum_text

__all__ = ["EVENTS_MAX", "FREQUENT", "Projection"]

EVENTS_MAX: Final = 5_000
"""Records remembered of other kinds than `FREQUENT`."""

FREQUENT: Final = frozenset(
    {Trade, Quote, BookRead, ContextRead, MidsRead, LiquidationRead, FeedHeard, ClockAdvanced, TimerFired}
)
"""Kinds of records of which there are too many to remember as records."""

Handler = Callable[[int, Any], None]


class Projection:
    """The parts of a view. `journal` is the journal's id in hex.

    `defaults` returns those of the parameters of a strategy, by its module:Class: no record has them. `seq`
    and `at_ns` are those of the newest record, `records` how many there were, `first_seq` the first.
    """

    def __init__(
        self,
        journal: str,
        *,
        recorded: bool = False,
        read_only: bool = False,
        defaults: Defaults = no_defaults,
    ) -> None:
        self.journal = journal
        self.recorded = recorded
        self.read_only = read_only
        self.seq = 0
        self.at_ns = 0
        self.records = 0
        self.first_seq = 0
        self.day_seq = 0
        self.recent: deque[Record] = deque(maxlen=EVENTS_MAX)
        self.markets = Markets()
        self.account = Account()
        self.order_states = Orders(self.markets.instruments)
        self.trading = Trading(self.markets.instruments, defaults)
        self.health_state = HealthState()
        self._handlers = self._routes()

    @property
    def weight(self) -> int:
        """How many records, trades, bars and so on are remembered."""
        count = len(self.recent) + len(self.account.fills) + len(self.account.curve)
        count += len(self.order_states.ended) + sum(map(len, self.trading.series.values()))
        return count + sum(market.weight for market in self.markets.by_number.values())

    def copy(self) -> Projection:
        """Return a copy that is changed on its own."""
        twin = object.__new__(type(self))
        vars(twin).update(vars(self))
        twin.recent = self.recent.copy()
        twin.markets = self.markets.copy()
        twin.account = self.account.copy()
        twin.order_states = self.order_states.copy(twin.markets.instruments)
        twin.trading = self.trading.copy(twin.markets.instruments)
        twin.health_state = self.health_state.copy()
        twin._handlers = twin._routes()
        return twin

    def apply(self, records: Iterable[Record]) -> None:
        """Apply the records that follow. Raises JournalError for a day whose opening cannot be read."""
        handlers, (trade, quote) = self._handlers, self.markets.fast
        record: Record | None = None
        count = 0
        for record in records:
            seq, _, event = record
            kind = event.__class__
            count += 1
            if kind is Trade:
                trade(seq, event)
            elif kind is Quote:
                quote(seq, event)
            else:
                for handler in handlers.get(kind, ()):
                    handler(seq, event)
                if kind not in FREQUENT:
                    self.recent.append(record)
        if record is not None:
            self.first_seq = self.first_seq or record[0] - count + 1
            self.records += count
            self.seq = record[0]
            self.at_ns = max(self.at_ns, engine_time(record[2]))

    def _routes(self) -> dict[type[Event], tuple[Handler, ...]]:
        """Return the handlers of each kind of record, in the order of the parts."""
        own: dict[type[Event], Handler] = {
            DayOpened: self._day,
            InstrumentListed: self._relist,
            OperatorCommand: self._command,
        }
        found: dict[type[Event], tuple[Handler, ...]] = {kind: (handler,) for kind, handler in own.items()}
        for part in (self.markets, self.account, self.order_states, self.trading, self.health_state):
            for kind, handler in part.handlers.items():
                if kind is not InstrumentListed:
                    found[kind] = (*found.get(kind, ()), handler)
        found[SessionStarted] = (*found[SessionStarted], self._begin)  # once its configuration is read
        return found

    def _day(self, seq: int, opened: DayOpened) -> None:
        """Begin a day: with its state if it is the first record."""
        if not self.seq and not self.records and not self.markets.by_number:
            seed(opened, self.markets, self.account, self.order_states, self.trading, self.health_state)
            self._build()
        self.day_seq = seq
        for part in (self.account, self.order_states, self.health_state):
            part.begin_day()

    def _relist(self, seq: int, listed: InstrumentListed) -> None:
        """Put a listing in force; what is remembered moves to its scales."""
        before = self.markets.instruments.get(listed.instrument)
        self.markets.list(seq, listed)
        if before is None:
            return
        scales = (before.price_scale, before.size_scale)
        if scales != (listed.price_scale, listed.size_scale):
            self.account.move(before, listed)
            self.order_states.move(before, listed)
            change = Change.between(before, listed)
            self.recent = rescaled(self.recent, deque[tuple[int, int, Event]], change)

    def _begin(self, _seq: int, started: SessionStarted) -> None:
        self.account.real = started.mode == "live"
        self._build()

    def _build(self) -> None:
        """Note which bars the session builds."""
        config = self.trading.config
        if config is not None:
            self.markets.build(config.bars.intervals)

    def _command(self, _seq: int, command: OperatorCommand) -> None:
        """Count losses from now on when everything is resumed; a repeated command is carried out once."""
        again = command.nonce and any(one.nonce == command.nonce for one in self.trading.commands.values())
        if command.command == "resume" and not command.target and not again:
            self.account.counted.forgive()

    # Markets.

    def market(self, instrument: str) -> Market:
        """Return the market that a text means. Raises UsageError."""
        return self.markets.by_number[self.markets.instruments.find(instrument).instrument]

    def label(self, number: int) -> str:
        """Return what people see for an instrument."""
        return self.markets.instruments.labels().get(number, f"#{number}")

    def price_row(self, number: int) -> PriceRow:
        """Return the newest prices of a market."""
        return market_rows.price_row(self.markets.by_number[number], self.label(number))

    def instrument_row(self, number: int) -> InstrumentRow:
        """Return an instrument."""
        market, halted = self.markets.by_number[number], self.trading.markets
        return market_rows.instrument_row(
            market,
            self.label(number),
            traded=self.traded(market),
            halted=halted[number][0] if number in halted else "",
        )

    def traded(self, market: Market) -> bool:
        """Return whether the session trades a market."""
        config = self.trading.config
        return config is None or not config.instruments or is_among(market.listed, config.instruments)

    # The account.

    @property
    def currency(self) -> str:
        """The currency that the account is valued in."""
        config = self.trading.config
        return account_currency(config.account.currency if config else "", self.markets.instruments)

    @property
    def held(self) -> str:
        """Where orders are: "venue" or "paper"."""
        return "venue" if self.trading.real else "paper"

    def account_row(self) -> AccountRow:
        """Return the account as last valued."""
        return self.account.account_row(self.currency)

    def book_keys(self) -> list[BookKey]:
        """Return the books that are not flat or of which something is wanted, by instrument and owner."""
        held = [key for key, (_, changed) in self.account.books.items() if changed.size]
        wanted = [key for key, (_, target) in self.account.targets.items() if target.wanted]
        return [key for key in sorted({*held, *wanted}) if key[0] in self.markets.by_number]

    def position_row(self, key: BookKey) -> PositionRow:
        """Return a book."""
        number, owner = key
        market = self.markets.by_number[number]
        listed = market.listed
        seq, changed = self.account.books.get(key, (0, PositionChanged(0, owner, number, 0, 0, 0, 0)))
        scale = money_scale(listed, changed)
        price, gain = market.price(), position_gain(market, changed)
        cost, size = int(changed.cost), changed.size
        _, target = self.account.targets.get(key, (0, None))
        _, protection = self.account.protection.get(key, (0, None))
        parts = (
            (0, 0, 0)
            if protection is None
            else (protection.at_venue, protection.in_engine, protection.exiting)
        )
        return PositionRow(
            self.label(number),
            owner,
            size_text(listed, size),
            average_text(listed, Fraction(cost, 10**scale), Fraction(size, 10**listed.size_scale)),
            None if price is None else format_scaled(*price),
            None if price is None else format_scaled(price[0] * size, price[1] + listed.size_scale),
            None if gain is None else format_scaled(gain, scale),
            format_scaled(changed.realized, scale),
            format_scaled(changed.fees, scale),
            format_scaled(changed.funding, scale),
            size_text(listed, parts[0]),
            size_text(listed, parts[1]),
            size_text(listed, parts[2]),
            size_text(listed, max(0, abs(size) - sum(parts))),
            self.order_states.protection(number, owner, market, self.held),
            None if target is None or target.wanted is None else size_text(listed, target.wanted),
            "none" if target is None else target.state,
            "" if target is None else target.reason,
            seq,
            ms(changed.at_ns),
            self.markets.instruments.shown_venue(number),
        )

    # Orders.

    def order_row(self, client_order_id: str, order: OrderState) -> OrderRow | None:
        """Return an order; None for one of an instrument that was never listed."""
        market = self.markets.by_number.get(order.instrument)
        if market is None:
            return None
        label = self.label(order.instrument)
        return self._placed(
            order.instrument, self.order_states.row(client_order_id, order, market, label, self.held)
        )

    def _placed(self, number: int, row: OrderRow) -> OrderRow:
        """Return an order with its venue."""
        row.venue = self.markets.instruments.shown_venue(number)
        return row

    def engine_rows(self, key: BookKey) -> list[OrderRow]:
        """Return the stops and trails of a book; `left` is what only the engine watches, "0" for none."""
        number, owner = key
        market = self.markets.by_number.get(number)
        if market is None:
            return []
        return [
            self._placed(number, self.order_states.engine_row(seq, stop, size, market, self.label(number)))
            for seq, stop, size in self.order_states.in_engine(number, owner)
        ]

    def working_rows(self, number: int = 0) -> list[OrderRow]:
        """Return orders and stops that may still fill, oldest first; of one market if given."""
        states = self.order_states
        groups = states.groups()
        orders = states.live.items() if not number else groups.of_market(number)
        rows = [self.order_row(name, order) for name, order in orders]
        books = [key for key in {**groups.stops, **states.trails} if number in (0, key[0])]
        stops = [row for key in books for row in self.engine_rows(key) if row.left != "0"]
        return [row for row in rows if row is not None] + stops

    # Strategies.

    def owners(self) -> list[str]:
        """Return the strategies as configured, then other owners of books, `manual` and `external` last."""
        config = self.trading.config
        names = dict.fromkeys(one.title for one in config.strategies) if config is not None else {}
        others = {owner for _, owner in self.account.books} - names.keys() - {MANUAL, EXTERNAL}
        last = [name for name in (MANUAL, EXTERNAL) if any(owner == name for _, owner in self.account.books)]
        return [*names, *sorted(others), *last]

    def strategy_row(self, owner: str) -> StrategyRow:
        """Return a strategy, or another owner of books."""
        entry = self._entry(owner)
        trading = self.trading
        state, why = trading.state_of(owner)
        books = [key for key in sorted(self.account.books) if key[1] == owner]
        books = [key for key in books if key[0] in self.markets.by_number]
        gains = [self._gains(key) for key in books]
        foreign = any(
            self.markets.by_number[number].listed.rules.quote not in ("", self.currency)
            for number, _ in books
        )
        unknown = foreign or any(gain is None for _, gain in gains)
        rows = []
        for key, (profit, gain) in zip(books, gains, strict=True):
            listed = self.markets.by_number[key[0]].listed
            _, changed = self.account.books[key]
            _, target = self.account.targets.get(key, (0, None))
            wanted = None if target is None or target.wanted is None else size_text(listed, target.wanted)
            rows.append(
                StrategyBook(
                    self.label(key[0]),
                    size_text(listed, changed.size),
                    format_scaled(*profit),
                    None if gain is None else format_scaled(*gain),
                    wanted,
                    "none" if target is None else target.state,
                )
            )
        return StrategyRow(
            owner,
            entry.use if entry is not None else "",
            state,
            why,
            list(entry.instruments) if entry is not None else [],
            trading.params_of(owner, entry),
            rows,
            None if foreign else sum_text(profit for profit, _ in gains),
            None if unknown else sum_text(gain for _, gain in gains if gain is not None),
            self.account.fills_of.get(owner, 0),
            self.order_states.refused_of.get(owner, 0),
            trading.signal_rows(owner),
            trading.log_of(owner),
            trading.reasons_of(owner),
        )

    def _entry(self, owner: str) -> StrategyConfig | None:
        config = self.trading.config
        strategies = config.strategies if config is not None else ()
        return next((one for one in strategies if one.title == owner), None)

    def _gains(self, key: BookKey) -> tuple[tuple[int, int], tuple[int, int] | None]:
        """Return what a book has gained after fees and funding, and its open profit, each with its scale."""
        market = self.markets.by_number[key[0]]
        _, changed = self.account.books[key]
        scale = money_scale(market.listed, changed)
        realized = int(changed.realized) - int(changed.fees) + int(changed.funding)
        gain = position_gain(market, changed)
        return (realized, scale), None if gain is None else (gain, scale)

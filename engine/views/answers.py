"""Every answer of the API and every kind of stream message, each with its struct.

Built by `engine.views.view` and `engine.views.stream`, encoded as JSON by the server, read by the page, by
`engine status` and by programs. Units are those of `shapes.py`: exact decimal text for prices, sizes and
money, milliseconds for times, text for ids of a venue. `ANSWERS` maps each path to its answer, `MESSAGES`
each kind of stream message to its data.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.views.market_shapes import (
    BarMessage,
    BarRow,
    BookLevel,
    BookMessage,
    ContextPoint,
    FootprintRow,
    ForcedRow,
    InstrumentRow,
    LargeTradeRow,
    LiquidationRow,
    LiquidationWindow,
    PriceRow,
    ProfileRow,
    SampleRow,
    SettledRate,
    SpanRow,
    TradeRow,
)
from engine.views.shapes import (
    AccountRow,
    CommandRow,
    EquityPoint,
    FeedRow,
    FillRow,
    GapRow,
    HaltRow,
    Hello,
    MarkRow,
    OrderRow,
    PositionRow,
    RecordRow,
    RefusalRow,
    Resync,
    SignalRow,
    SignalSeries,
    StrategyRow,
)

__all__ = [
    "ANSWERS",
    "MESSAGES",
    "Answer",
    "Bars",
    "Book",
    "Contexts",
    "EquityCurve",
    "EventRows",
    "Fills",
    "Flow",
    "Gaps",
    "Health",
    "InstrumentRows",
    "Liquidations",
    "Marks",
    "Orders",
    "Positions",
    "Signals",
    "Status",
    "Strategies",
    "Trades",
    "Why",
]


class Answer(msgspec.Struct, kw_only=True):
    """What every answer has: the journal's id (32 hex digits), the seq it stands at, and that record's
    time."""

    journal: str
    seq: int
    at_ms: int


class Status(Answer, kw_only=True):
    """What is going on. `mode` is "paper", "live", "backtest" or "backfill"; `armed`: orders are real.

    `running` is False between two sessions. `read_only`: commands are refused; `recorded`: it is a recorded
    day and nothing moves. `commands` are the newest of operators, newest first. `gaps_today` counts
    disconnections and damages too. `halts` is empty while openings are allowed. `network` and `account_id`
    are those of the real account, "" otherwise. `feeds_up` of `feeds` are connected.
    """

    mode: str
    armed: bool
    running: bool
    stopping: bool
    session: str
    started_ms: int
    version: str
    day: str
    network: str
    account_id: str
    halts: list[HaltRow]
    account: AccountRow
    positions: int
    orders: int
    fills_today: int
    refusals_today: int
    feeds: int
    feeds_up: int
    gaps_today: int
    lag_ms: int
    newest_price_ms: int
    read_only: bool
    recorded: bool
    commands: list[CommandRow]


class InstrumentRows(Answer, kw_only=True):
    """Every instrument of the journal, those of the session first."""

    instruments: list[InstrumentRow]


class Bars(Answer, kw_only=True):
    """Bars of one instrument and interval, oldest first. `more`: there are older ones.

    `forming` is the bar that is under way, made of the trades since the last one closed, null if there are
    none; it is a preview and in no record. `gaps` are spans in which trades may be missing.
    """

    instrument: str
    interval: str
    bars: list[BarRow]
    forming: BarRow | None
    gaps: list[SpanRow]
    more: bool


class Book(Answer, kw_only=True):
    """The newest book of an instrument, best first; without a book the best bid and ask alone.

    `depth`: it is a book. `book_ms` is when it was received, 0 if nothing is known.
    """

    instrument: str
    bids: list[BookLevel]
    asks: list[BookLevel]
    depth: bool
    book_seq: int
    book_ms: int


class Positions(Answer, kw_only=True):
    """Every book that is not flat, or of which something is wanted; by instrument and owner."""

    positions: list[PositionRow]


class Orders(Answer, kw_only=True):
    """`working` are orders and stops that may still fill, oldest first; `ended` the latest others, newest
    first.

    `refusals` are the latest requests that were refused, newest first.
    """

    working: list[OrderRow]
    ended: list[OrderRow]
    refusals: list[RefusalRow]


class Fills(Answer, kw_only=True):
    """Fills, oldest first. `more`: there are older ones."""

    fills: list[FillRow]
    more: bool


class Trades(Answer, kw_only=True):
    """The latest trades of an instrument, newest first."""

    instrument: str
    trades: list[TradeRow]


class EquityCurve(Answer, kw_only=True):
    """The equity, oldest first: every mark of late, ever fewer of them further back."""

    account: AccountRow
    points: list[EquityPoint]


class Strategies(Answer, kw_only=True):
    """Every strategy of the session in order of the configuration, then other owners of books."""

    strategies: list[StrategyRow]


class Signals(Answer, kw_only=True):
    """The latest signals by strategy, instrument and name."""

    series: list[SignalSeries]


class Flow(Answer, kw_only=True):
    """Order flow of one instrument, each list oldest first; empty where `[flow]` does not ask for it.

    `liquidations` are those of the own account; those of others have an answer of their own.
    """

    instrument: str
    interval: str
    footprints: list[FootprintRow]
    profiles: list[ProfileRow]
    large: list[LargeTradeRow]
    samples: list[SampleRow]
    liquidations: list[LiquidationRow]


class Liquidations(Answer, kw_only=True):
    """What was closed by force in one instrument, of others, each list oldest first.

    `intervals` are those of which there are windows: `[flow] liquidations` asks for them. `windows` are those
    of `interval`, the shortest if none was given: a heat map by price and time.
    """

    instrument: str
    interval: str
    intervals: list[str]
    windows: list[LiquidationWindow]
    liquidations: list[ForcedRow]


class Contexts(Answer, kw_only=True):
    """Open interest and funding of one instrument over time, oldest first. `rates` are the settled ones."""

    instrument: str
    points: list[ContextPoint]
    rates: list[SettledRate]


class Health(Answer, kw_only=True):
    """How the engine is. Times of the engine; what only the process knows (sync times, queues) the server
    adds as `lines`, by name.

    `clock_offset_ms` is the venue's clock minus the engine's, null if never measured; of several venues it is
    that of the clock farthest off. `commands_minute` are commands sent to the venue in the last minute,
    `requests_minute_max` what the venue allows (0: no bound), `approvals_minute` orders approved in the last
    minute, `orders_minute_max` what `[risk]` allows.
    `failures` are actors that failed, newest first, as (at_ms, seq, actor, error).
    """

    feeds: list[FeedRow]
    lag_ms: int
    lag_handler: str
    clock_offset_ms: int | None
    clock_checked_ms: int
    reconciled_ms: int
    unreconciled: str
    commands_minute: int
    requests_minute_max: int
    approvals_minute: int
    orders_minute_max: int
    failures: list[tuple[int, int, str, str]]
    records: int
    lines: dict[str, str]


class Gaps(Answer, kw_only=True):
    """The latest gaps, newest first."""

    gaps: list[GapRow]


class Why(Answer, kw_only=True):
    """The chain of causes of a record, oldest first; the last is the record asked about."""

    chain: list[RecordRow]


class Marks(Answer, kw_only=True):
    """The moments of the days that a person looks for, by rising seq, and where the days begin and end.

    `complete` is False if there are more than are kept. Of a live session, those that are remembered.
    """

    first_seq: int
    last_seq: int
    first_ms: int
    last_ms: int
    marks: list[MarkRow]
    complete: bool


class EventRows(Answer, kw_only=True):
    """Records by rising seq. `next_after` continues the list: pass it as `after`; null if there is no
    more."""

    events: list[RecordRow]
    next_after: int | None


ANSWERS: Final[dict[str, type[Answer]]] = {
    "status": Status,
    "instruments": InstrumentRows,
    "bars": Bars,
    "book": Book,
    "positions": Positions,
    "orders": Orders,
    "fills": Fills,
    "trades": Trades,
    "equity": EquityCurve,
    "strategies": Strategies,
    "signals": Signals,
    "flow": Flow,
    "liquidations": Liquidations,
    "contexts": Contexts,
    "health": Health,
    "gaps": Gaps,
    "why": Why,
    "events": EventRows,
    "marks": Marks,
}
"""The answer of each GET path below `/api/`."""

MESSAGES: Final[dict[str, type[msgspec.Struct]]] = {
    "hello": Hello,
    "resync": Resync,
    "status": Status,
    "price": PriceRow,
    "bar": BarMessage,
    "book": BookMessage,
    "position": PositionRow,
    "order": OrderRow,
    "refusal": RefusalRow,
    "fill": FillRow,
    "equity": AccountRow,
    "strategy": StrategyRow,
    "signal": SignalRow,
    "instrument": InstrumentRow,
    "feed": FeedRow,
    "gap": GapRow,
    "command": CommandRow,
}
"""The data of each kind of stream message."""

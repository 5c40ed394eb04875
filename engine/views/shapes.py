"""The rows of answers and of stream messages: one struct each.

    prices, sizes, money    exact decimal text, such as "97012.5"; sizes of positions are signed
    times                   whole milliseconds UTC, rounded down; the name ends in `_ms`, as that of a span
    does
    seqs, counts            integers, always below 2**53
    ids of a venue          text, because they outgrow what JavaScript keeps of a number
    signals, rates          numbers; null for NaN and infinity
    sides                   "buy", "sell" or ""
    intervals               names, such as "1m"

The exact time of a record, in nanoseconds, is in `RecordRow.at`. A value that is not known is null; a text
that does not apply is "". Texts of venues and strategies are passed on as they are: whoever shows them
escapes them. `answers.py` puts the rows together.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = [
    "AccountRow",
    "CommandRow",
    "EquityPoint",
    "FeedRow",
    "FillRow",
    "GapRow",
    "HaltRow",
    "Hello",
    "MarkRow",
    "OrderRow",
    "PositionRow",
    "ProtectedBy",
    "RecordRow",
    "RefusalRow",
    "Resync",
    "SignalRow",
    "SignalSeries",
    "StrategyBook",
    "StrategyRow",
]


class HaltRow(msgspec.Struct):
    """Something that refuses openings. `what` is "engine", "market", "strategy", "stopped",
    "disarmed" or "pause".

    `name` is the market or the strategy, "" for the engine and for a pause of all. `seq` is the record that
    began it, 0 if that is on an earlier day.
    """

    what: str
    name: str
    reason: str
    since_ms: int
    seq: int


class VenueAccountRow(msgspec.Struct):
    """One account of several, in its own currency, as the engine last valued it."""

    venue: str
    currency: str
    equity: str
    unrealized: str
    seq: int


class AccountRow(msgspec.Struct):
    """The account as the engine last valued it (`at_ms`, `seq`; both 0 before that).

    `equity` = `start` + `adjustments` + `realized` + `unrealized` - `fees` + `funding`; `cash` is that
    without `unrealized`. `day_profit` is since midnight UTC, without deposits and withdrawals. `peak` is the
    highest equity without them that is known, `drawdown` the fall from it, `drawdown_percent` that in percent
    of it. `unvalued` are (asset, amount) without a price, which no number includes. `accounts` are those at
    several venues, of which this is the sum; empty where there is one account.
    """

    seq: int
    at_ms: int
    currency: str
    equity: str | None
    cash: str | None
    realized: str
    unrealized: str
    fees: str
    funding: str
    start: str | None
    adjustments: str
    day_profit: str | None
    peak: str | None
    drawdown: str | None
    drawdown_percent: float | None
    unvalued: list[tuple[str, str]]
    accounts: list[VenueAccountRow] = []


class ProtectedBy(msgspec.Struct):
    """What protects a position: a stop-loss or a trailing stop, and where it is held.

    `held` is "venue", "paper" (the simulated venue) or "engine". `id` is the client order id, or the handle
    of a stop in the engine; "" for a trailing stop in the engine. `price` is where it closes.
    """

    kind: str
    id: str
    size: str
    price: str | None
    held: str


class PositionRow(msgspec.Struct):
    """One book: what one owner holds of one instrument. `seq` is the record that last changed it.

    Owners are strategies, "manual" and "external". `entry` is the average price, `mark` the price it is
    valued at, `value` size times mark, `unrealized` the profit at that price. `realized`, `fees` and
    `funding` are sums since the account began. `at_venue`, `in_engine` and `exiting` are the sizes that stops
    at the venue, stops in the engine and exits on their way would close; `unprotected` what none of them
    would. `venue` is that of the instrument where the journal has several, else "".
    """

    instrument: str
    owner: str
    size: str
    entry: str | None
    mark: str | None
    value: str | None
    unrealized: str | None
    realized: str
    fees: str
    funding: str
    at_venue: str
    in_engine: str
    exiting: str
    unprotected: str
    protected_by: list[ProtectedBy]
    wanted: str | None
    target_state: str
    target_reason: str
    seq: int
    at_ms: int
    venue: str = ""


class OrderRow(msgspec.Struct):
    """One order, or a stop that the engine watches. `id` is the client order id, or for such a stop
    "stop NUMBER OWNER HANDLE" or "trail NUMBER OWNER". One whose `left` is "0" works no more.

    `kind` is "market", "limit", "market stop", "limit stop" or "trail". `held` is "venue", "paper" or
    "engine". `role` is "open" or "close", `purpose` what it is for. `price` is the limit, `trigger_price`
    where a stop fires, `bound` the worst price. `size` is all, `filled` and `left` are parts of it. `parent`
    is the order it is attached to. `distance` is how far the price has to move until it fills or fires,
    `distance_percent` that in percent of the price; negative: it is beyond. `reason` is what the owner or the
    venue gives last. `state` is as in `OrderChanged`, for a stop in the engine as in `StopChanged`.
    `submitted_ms` is null for an order of an earlier day of which only the state is known. `venue`: as in
    `PositionRow`.
    """

    id: str
    instrument: str
    owner: str
    side: str
    kind: str
    held: str
    state: str
    role: str
    purpose: str
    size: str
    filled: str
    left: str
    price: str | None
    trigger: str
    trigger_price: str | None
    bound: str | None
    tif: str
    reduce_only: bool
    parent: str
    group: str
    handle: str
    average: str | None
    distance: str | None
    distance_percent: float | None
    reason: str
    venue_id: str
    seq: int
    submitted_ms: int | None
    updated_seq: int
    updated_ms: int
    venue: str = ""


class RefusalRow(msgspec.Struct):
    """A request that was refused: which rule, and why."""

    seq: int
    at_ms: int
    instrument: str
    owner: str
    side: str
    size: str
    rule: str
    reason: str


class FillRow(msgspec.Struct):
    """A fill, or the part of one that belongs to `owner`.

    `role` is "open" or "close", `why` is "" for an ordinary fill, else as in `FillBooked.cause`. `value` is
    price times size. `fee` is in `fee_asset` ("": the quote currency).
    """

    seq: int
    at_ms: int
    venue_ms: int
    instrument: str
    owner: str
    order: str
    side: str
    price: str
    size: str
    value: str
    fee: str
    fee_asset: str
    liquidity: str
    role: str
    purpose: str
    external: bool
    why: str
    trade_id: str


class EquityPoint(msgspec.Struct):
    """The equity at one moment, and the fall from the highest one before it (0 or positive).

    Deposits and withdrawals are no profit: `drawdown` leaves them out.
    """

    at_ms: int
    equity: str
    drawdown: str
    seq: int


class StrategyBook(msgspec.Struct):
    """What a strategy holds of one instrument and has gained there, after fees and funding."""

    instrument: str
    size: str
    profit: str
    unrealized: str | None
    wanted: str | None
    target_state: str


class SignalRow(msgspec.Struct):
    """A named number of a strategy."""

    seq: int
    at_ms: int
    strategy: str
    instrument: str
    name: str
    value: float | None


class StrategyRow(msgspec.Struct):
    """A strategy. `state` is "running", "paused", "failed", "stopped", "stopping" or "halted"; `why` says
    why it is not running.

    `profit` is realized profit less fees and funding of its books, `unrealized` that of its open positions,
    both null where a market's quote is not the account's currency. `params` are those in force, from the
    configuration and later `set` commands. `signals` are the newest by name, `log` its newest lines, and
    `reasons` the reasons it gave for its newest targets and orders, each (at_ms, seq, text), newest first.
    The text of a reason begins with its market.
    """

    name: str
    use: str
    state: str
    why: str
    instruments: list[str]
    params: dict[str, Any]
    books: list[StrategyBook]
    profit: str | None
    unrealized: str | None
    fills_today: int
    refusals_today: int
    signals: list[SignalRow]
    log: list[tuple[int, int, str]]
    reasons: list[tuple[int, int, str]]


class SignalSeries(msgspec.Struct):
    """One signal over time: [at_ms, value, seq] of each, oldest first."""

    strategy: str
    instrument: str
    name: str
    points: list[tuple[int, float | None, int]]


class FeedRow(msgspec.Struct):
    """A feed, a gateway or another edge. `state` is "up", "down", "polling", or one of `EdgeChanged`.

    `heard_ms` is when it last proved that it is alive, `proved_ms` the venue's time up to which it has
    delivered everything, `lag_ms` how late it is; each 0 if not known. `downs` counts since the session
    began.
    """

    name: str
    what: str
    state: str
    reason: str
    since_ms: int
    heard_ms: int
    proved_ms: int
    lag_ms: int
    downs: int
    restarts: int
    seq: int


class GapRow(msgspec.Struct):
    """Something that may be missing. `what` is "gap" (of trades), "down" (a feed), "damaged", "jumped" (the
    clock) or "repaired" (the journal's tail). `closed`: proved that nothing is missing."""

    seq: int
    at_ms: int
    what: str
    feed: str
    instrument: str
    from_ms: int
    to_ms: int
    closed: bool
    reason: str


class RecordRow(msgspec.Struct):
    """One record of the journal. `at` is its exact time (ISO 8601, nanoseconds), `type` its class.

    `text` is the line that `engine inspect` prints. `fields` are the event's fields with exact numbers as
    text, for `why` and where they are asked for; else empty. Integers that JavaScript would round are text.
    """

    seq: int
    cause: int
    at: str
    at_ms: int
    type: str
    text: str
    fields: dict[str, Any]


class MarkRow(msgspec.Struct):
    """A moment worth a look. `kind` is "fill", "refusal", "gap", "halt", "command", "failure", "session" or
    "divergence"."""

    seq: int
    at_ms: int
    kind: str
    text: str


class CommandRow(msgspec.Struct):
    """An operator's command and its outcome.

    `state` is "recorded" (no outcome yet, or none at all: an engine's own command has no nonce), "working",
    "done" or "refused". `code` names the rule of a refusal and `reason` says it. `left` is what is left to
    do, each (owner, market, size or order), `tries` how often it was tried. `arguments` are those of the
    request by name, as text; `detail` is all of it in one line, such as "order BTC buy 0.01 limit 95000".
    """

    seq: int
    at_ms: int
    command: str
    target: str
    detail: str
    who: str
    nonce: str
    state: str
    code: str
    reason: str
    left: list[tuple[str, str, str]]
    tries: int
    arguments: dict[str, str]


class Hello(msgspec.Struct):
    """The first message of a stream: whose journal it is and where it stands."""

    journal: str
    seq: int
    at_ms: int
    mode: str
    armed: bool
    running: bool
    recorded: bool
    read_only: bool = False


class Resync(msgspec.Struct):
    """Messages were dropped: read everything again with GET. The stream goes on after `seq`."""

    seq: int
    reason: str

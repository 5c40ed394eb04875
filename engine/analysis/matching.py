"""Orders of two runs beside each other: which belong together, and what differs between them.

Owns the rule. The fills of an order count as one. An order is matched with an order of the other run of the
same instrument and side, at most `WINDOW_NS` earlier or later, each once: first those of one strategy, then
those of one size, then the nearest in time, then those of equal terms. A fill that no order of the run led
to, such as a liquidation, counts as an order. Promises: the result depends on the records alone. `Orders`
reads frames in journal order. Called by `replay.differences`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Final

import msgspec

from engine.analysis.trips import added, text_of
from engine.events import DayOpened, Event, FillBooked, InstrumentListed, SubmitOrder
from engine.events.codec import Derived, in_order
from engine.events.terms import OrderTerms
from engine.instruments import Instruments
from engine.values import format_scaled, side_name

__all__ = [
    "DECISION",
    "FILL_PRICE",
    "FILL_SIZE",
    "LATENCY",
    "WINDOW_NS",
    "OrderRow",
    "Orders",
    "Pair",
    "paired",
]

WINDOW_NS: Final = 60_000_000_000
ORDERS_MAX: Final = 50_000
"""Orders of a run that are compared, the first ones."""
_NEAR: Final = 8
"""Times before and after an order at which its counterpart is searched, among the orders that are left."""
_AT_ONCE: Final = 64
"""Orders of other times before and after it that are looked at; of all, with its own time:"""
_LOOKED_AT_MAX: Final = 1_000
_PLACE_BITS: Final = 17
_PLACE: Final = (1 << _PLACE_BITS) - 1
_APART_BITS: Final = WINDOW_NS.bit_length()

DECISION: Final = "decision"
FILL_PRICE: Final = "fill price"
FILL_SIZE: Final = "fill size"
LATENCY: Final = "latency"


class OrderRow(msgspec.Struct):
    """An order and what was filled of it. Sizes and fees are exact text, times UTC nanoseconds.

    `seq` is the record of the command, or of the fill that no order led to; `at_ns` its time. `price` is the
    average of the fills. `filled_ns` and `fill_seq` are of the first fill, 0 without one. `fees` are in the
    quote currency.
    """

    seq: int
    at_ns: int
    strategy: str
    instrument: str
    side: str
    size: str
    terms: str
    reason: str
    filled: str = "0"
    price: float | None = None
    filled_ns: int = 0
    fill_seq: int = 0
    fills: int = 0
    fees: str = "0"


class Pair(msgspec.Struct, frozen=True):
    """Two orders that belong together, or one without a counterpart. `differs` names what differs.

    `price_percent` is how much worse the first run's price is than the other's, in percent of that one;
    `latency_ms` how much longer it took from the order to its first fill. None without a fill on both sides.
    """

    live: OrderRow | None
    backtest: OrderRow | None
    differs: tuple[str, ...] = ()
    price_percent: float | None = None
    latency_ms: float | None = None

    @property
    def at_ns(self) -> int:
        """The time of the earlier order."""
        return min(one.at_ns for one in (self.live, self.backtest) if one is not None)


class _Sums(msgspec.Struct):
    size: Decimal = Decimal(0)
    value: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)


class Orders:
    """State: the orders of a run by id, and how many were not kept."""

    def __init__(self) -> None:
        self.instruments = Instruments()
        self.left = 0
        self._rows: dict[str, OrderRow] = {}
        self._sums: dict[str, _Sums] = {}

    @property
    def rows(self) -> list[OrderRow]:
        """The orders, in the order of their records."""
        return list(self._rows.values())

    def append(self, first_seq: int, inputs: list[Event], derived: list[Derived]) -> None:
        """Read a frame."""
        records = (
            in_order(first_seq, inputs, derived)
            if any(one.__class__ is InstrumentListed for one in inputs)
            else derived
        )
        for seq, _, event in records:
            if isinstance(event, InstrumentListed):
                self.instruments[event.instrument] = event
            elif isinstance(event, DayOpened):
                for listed in event.instruments:
                    self.instruments[listed.instrument] = listed
            elif isinstance(event, SubmitOrder):
                self._submitted(seq, event)
            elif isinstance(event, FillBooked):
                self._filled(seq, event)

    def _submitted(self, seq: int, order: SubmitOrder) -> None:
        if len(self._rows) >= ORDERS_MAX:
            self.left += 1
            return
        listed = self.instruments[order.instrument]
        self._rows[order.client_order_id] = OrderRow(
            seq,
            order.at_ns,
            order.strategy,
            self.instruments.label(order.instrument),
            side_name(order.terms.side),
            format_scaled(order.terms.size, listed.size_scale),
            _terms_text(order.terms, listed),
            order.reason,
        )

    def _filled(self, seq: int, fill: FillBooked) -> None:
        listed = self.instruments.get(fill.instrument)
        if listed is None:
            return
        key = fill.client_order_id
        if key not in self._rows:
            key = f"{key} {seq}"
            if len(self._rows) >= ORDERS_MAX:
                self.left += 1
                return
            size = format_scaled(fill.size, listed.size_scale)
            label = self.instruments.label(fill.instrument)
            why = fill.cause or "no order of this run"
            self._rows[key] = OrderRow(
                seq, fill.at_ns, fill.owner, label, side_name(fill.side), size, why, fill.cause
            )
        row, sums = self._rows[key], self._sums.setdefault(key, _Sums())
        scale = listed.money_scale + fill.finer
        sums.size = added(sums.size, fill.size, listed.size_scale)
        sums.value = added(sums.value, fill.price * fill.size, scale)
        if not fill.fee_asset:
            sums.fees = added(sums.fees, int(fill.fee), scale)
        row.filled, row.fees, row.fills = text_of(sums.size), text_of(sums.fees), row.fills + 1
        row.price = float(Fraction(sums.value) / Fraction(sums.size)) if sums.size else None
        if not row.fill_seq:
            row.fill_seq, row.filled_ns = seq, fill.at_ns


def _terms_text(terms: OrderTerms, listed: InstrumentListed) -> str:
    """Return what was asked for, such as `limit 100.5 Gtc` or `market stop at 99`."""
    parts = [terms.kind]
    if terms.limit:
        parts += [format_scaled(terms.limit, listed.price_scale), terms.tif]
    if terms.trigger:
        parts += ["at", format_scaled(terms.trigger_price, listed.price_scale)]
    return " ".join(parts + ["reduce only"] * terms.reduce_only)


def paired(live: Sequence[OrderRow], backtest: Sequence[OrderRow]) -> list[Pair]:
    """Return the orders of two runs by the rule of this module, in the order of their times."""
    groups: dict[tuple[str, str], tuple[list[OrderRow], list[OrderRow]]] = {}
    for side, rows in enumerate((live, backtest)):
        for row in rows:
            groups.setdefault((row.instrument, row.side), ([], []))[side].append(row)
    pairs = [pair for group in groups.values() for pair in _matched(*group)]
    return sorted(pairs, key=lambda pair: (pair.at_ns, *_seqs(pair)))


def _seqs(pair: Pair) -> tuple[int, int]:
    return pair.live.seq if pair.live else 0, pair.backtest.seq if pair.backtest else 0


def _matched(live: list[OrderRow], backtest: list[OrderRow]) -> list[Pair]:
    backtest = sorted(backtest, key=lambda row: (row.at_ns, row.seq))
    taken = _equal(live, backtest)
    used = set(taken.values())
    # Only what is left is near: a busy minute of equal orders hides no other one.
    left = [other for other in range(len(backtest)) if other not in used]
    for key in sorted(_near(live, taken, backtest, left)):
        at, other = key >> _PLACE_BITS & _PLACE, key & _PLACE
        if at not in taken and other not in used:
            taken[at] = other
            used.add(other)
    pairs = [
        _pair(row, backtest[taken[at]]) if at in taken else Pair(row, None, (DECISION,))
        for at, row in enumerate(live)
    ]
    return pairs + [Pair(None, row, (DECISION,)) for at, row in enumerate(backtest) if at not in used]


def _near(
    live: list[OrderRow], taken: dict[int, int], backtest: list[OrderRow], left: list[int]
) -> Iterator[int]:
    """Yield the possible pairs, each as a number that is less the nearer they are by the rule."""
    times = [backtest[other].at_ns for other in left]
    distinct = sorted(set(times))
    for at, row in enumerate(live):
        if at in taken or not times:
            continue
        middle = bisect_left(distinct, row.at_ns)
        first, last = max(0, middle - _NEAR), min(len(distinct), middle + _NEAR) - 1
        begin, end = bisect_left(times, row.at_ns) - _AT_ONCE, bisect_right(times, row.at_ns) + _AT_ONCE
        begin = max(0, begin, bisect_left(times, distinct[first]))
        for place in range(begin, min(end, bisect_right(times, distinct[last]), begin + _LOOKED_AT_MAX)):
            apart = abs(times[place] - row.at_ns)
            if apart <= WINDOW_NS:
                other = backtest[left[place]]
                key = (row.strategy != other.strategy) << 1 | (row.size != other.size)
                key = key << _APART_BITS | apart
                key = key << 1 | (row.terms != other.terms)
                yield (key << _PLACE_BITS | at) << _PLACE_BITS | left[place]


def _equal(live: list[OrderRow], backtest: list[OrderRow]) -> dict[int, int]:
    """Return the places of orders that were decided alike, at one time: the nearest by any rule."""
    waiting: dict[tuple[object, ...], list[int]] = {}
    for other in reversed(range(len(backtest))):
        waiting.setdefault(_decided(backtest[other]), []).append(other)
    places = (waiting.get(_decided(row), []) for row in live)
    return {at: others.pop() for at, others in enumerate(places) if others}


def _decided(row: OrderRow) -> tuple[object, ...]:
    return row.at_ns, row.strategy, row.size, row.terms, row.reason


def _pair(one: OrderRow, other: OrderRow) -> Pair:
    differs = []
    if _decided(one) != _decided(other):
        differs.append(DECISION)
    if one.filled != other.filled:
        differs.append(FILL_SIZE)
    worse = late = None
    if one.price is not None and other.price is not None:
        if one.price != other.price:
            differs.append(FILL_PRICE)
        side = 1 if one.side == "buy" else -1
        worse = side * (one.price / other.price - 1) * 100 if other.price else None
        waited = one.filled_ns - one.at_ns, other.filled_ns - other.at_ns
        late = (waited[0] - waited[1]) / 1e6
        if waited[0] != waited[1]:
            differs.append(LATENCY)
    return Pair(one, other, tuple(differs), worse, late)

"""Tapes: the instruments, trades, quotes and liquidations that the sandbox plays, in order of time.

`synthetic_tape` makes one from the synthetic market, `journal_tape` from a recorded day. Promises: events are
read one at a time, so memory does not grow with the length of a tape; times never decrease; every trade has a
side and an id. Called by the server.

Missing data of a recorded day is filled in, the same way on every play:
- a trade without a side gets one by the tick rule (price up: buy, down: sell, equal: as the trade before);
- a trade without an id gets the next number of a counter; an id that is text, other than digits, becomes
  50 bits of its hash;
- an instrument without a quote so far gets one from its last trade: the trade's price on the side it was
  taken from, one grid step away on the other side, and the trade's size on both;
- a time earlier than the latest one is replaced by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from adapters.exchange.grid import above, below
from adapters.exchange.market import INSTRUMENTS_DEFAULT, Lists, SyntheticMarket
from engine.errors import UsageError
from engine.events import Event, InstrumentListed, LiquidationRead, Quote, Trade
from engine.events.codec import decode_inputs
from engine.instruments import continued
from engine.journal import read_frames
from engine.values import BUY, NO_SIDE, SELL

__all__ = ["SYNTHETIC_START_NS", "Play", "Tape", "day_tape", "journal_tape", "synthetic_tape"]

SYNTHETIC_START_NS: Final = 1_733_356_800_000_000_000
"""Start of the synthetic tape with `clock="tape"`: 2024-12-05T00:00:00Z."""

Play = Iterator[Trade | Quote | LiquidationRead]

Blobs = Callable[[], Iterable[bytes]]
"""Returns the input blobs of a recorded day in order. Called once for the instruments and once per play."""

# Event tags as encoded by msgpack: a blob without these bytes contains no such event.
_LISTED_TAG: Final = b"\xaainstrument"
_MARKET_TAGS: Final = (b"\xa5trade", b"\xa5quote")


class Tape(msgspec.Struct, frozen=True):
    """The instruments, the time of the first event, and `play`, which yields events shifted by `shift_ns`."""

    instruments: list[InstrumentListed]
    start_ns: int
    play: Callable[[int], Play]


def synthetic_tape(
    seed: int = 1,
    instruments: Sequence[str] = INSTRUMENTS_DEFAULT,
    start_ns: int = SYNTHETIC_START_NS,
    *,
    lists: Lists,
    calm: bool = False,
) -> Tape:
    """Return the endless tape of the synthetic market. Raises UsageError for an unknown instrument."""
    market = SyntheticMarket(seed, instruments, lists=lists, calm=calm)
    return Tape(market.instruments(start_ns), start_ns, lambda shift_ns: market.events(start_ns + shift_ns))


def journal_tape(day_dir: Path, venue: str = "") -> Tape:
    """Return the tape of a recorded day: see `day_tape`.

    Raises UsageError if it does not exist or has nothing to play, JournalError if it is damaged.
    """
    if not day_dir.is_dir():
        raise UsageError(
            f"{day_dir}: no such day; give the folder of a journal day, such as journal/2024-12-05"
        )
    return day_tape(str(day_dir), lambda: (frame.inputs for frame in read_frames(day_dir)), venue)


def day_tape(name: str, blobs: Blobs, venue: str = "") -> Tape:
    """Return the tape of a day given as input blobs; `name` is used in error messages. Raises UsageError.

    If the day has instruments of `venue`, only those are played; a day of other venues is played whole.

    Reads the whole day once to find its instruments, because `meta` lists all of them from the start.
    """
    listed: dict[int, InstrumentListed] = {}
    start_ns: int | None = None
    first: dict[int, int] = {}
    for blob in blobs():
        several = len({one.venue for one in listed.values()}) > 1
        first_market = (several or start_ns is None) and any(tag in blob for tag in _MARKET_TAGS)
        if not first_market and _LISTED_TAG not in blob:
            continue
        for event in decode_inputs(blob):
            if isinstance(event, InstrumentListed):
                # The finer scales of all its listings fit every price of the day.
                listed[event.instrument] = continued(listed.get(event.instrument, event), event)
            elif isinstance(event, Trade | Quote):
                first.setdefault(event.instrument, event.venue_ns)
                start_ns = event.venue_ns if start_ns is None else start_ns
    own = {number: one for number, one in listed.items() if one.venue == venue}
    if own and len(own) < len(listed):
        listed = own
        start_ns = min((first[number] for number in own if number in first), default=None)
    if start_ns is None:
        raise UsageError(f"{name}: the day has no trades or quotes, so there is nothing to play")
    names: dict[str, InstrumentListed] = {}
    for instrument in listed.values():
        twin = names.setdefault(instrument.name, instrument)
        if twin is not instrument:
            raise UsageError(
                f"{name}: {twin.venue} and {instrument.venue} both list {instrument.name!r}, but the sandbox "
                "needs unique names; record or import each venue into its own day"
            )

    def play(shift_ns: int) -> Play:
        return _DayPlay(listed, shift_ns).events(blobs())

    return Tape(list(listed.values()), start_ns, play)


class _DayPlay:
    """One play of a recorded day. Fills in missing data."""

    def __init__(self, instruments: dict[int, InstrumentListed], shift_ns: int) -> None:
        self._instruments = instruments
        self._shift_ns = shift_ns
        self._latest_ns = 0
        self._count = 0
        self._factors = dict.fromkeys(instruments, (1, 1))
        self._quoted: set[int] = set()
        self._last: dict[int, Trade] = {}
        self._derived_prices: dict[int, tuple[int, int]] = {}

    def events(self, blobs: Iterable[bytes]) -> Play:
        for blob in blobs:
            for event in decode_inputs(blob):
                if getattr(event, "instrument", None) in self._instruments:
                    yield from self._played(event)

    def _played(self, event: Event) -> Play:
        if isinstance(event, Trade):
            trade = self._trade(event)
            yield trade
            if trade.instrument not in self._quoted:
                yield from self._derived_quote(trade)
        elif isinstance(event, Quote):
            self._quoted.add(event.instrument)
            price, size = self._factors[event.instrument]
            venue_ns = self._time(event.venue_ns)
            yield Quote(
                recv_ns=venue_ns,
                venue_ns=venue_ns,
                instrument=event.instrument,
                bid=event.bid * price,
                bid_size=event.bid_size * size,
                ask=event.ask * price,
                ask_size=event.ask_size * size,
            )
        elif isinstance(event, LiquidationRead):
            price, size = self._factors[event.instrument]
            venue_ns = self._time(event.venue_ns)
            yield msgspec.structs.replace(
                event,
                recv_ns=venue_ns,
                venue_ns=venue_ns,
                price=event.price * price,
                size=event.size * size,
                trade_id=self._trade_id(event.trade_id) if event.trade_id else "",
            )
        elif isinstance(event, InstrumentListed):
            finest = self._instruments[event.instrument]
            self._factors[event.instrument] = (
                10 ** (finest.price_scale - event.price_scale),
                10 ** (finest.size_scale - event.size_scale),
            )

    def _time(self, venue_ns: int) -> int:
        self._latest_ns = max(self._latest_ns, venue_ns + self._shift_ns)
        return self._latest_ns

    def _trade(self, event: Trade) -> Trade:
        price_factor, size_factor = self._factors[event.instrument]
        price = event.price * price_factor
        last = self._last.get(event.instrument)
        side = event.aggressor
        if side == NO_SIDE:
            if last is None or price == last.price:
                side = last.aggressor if last else BUY
            else:
                side = BUY if price > last.price else SELL
        venue_ns = self._time(event.venue_ns)
        trade = Trade(
            recv_ns=venue_ns,
            venue_ns=venue_ns,
            instrument=event.instrument,
            price=price,
            size=event.size * size_factor,
            aggressor=side,
            trade_id=self._trade_id(event.trade_id),
        )
        self._last[event.instrument] = trade
        return trade

    def _trade_id(self, known: int | str) -> int:
        """Return the id as a number, as the venue sends it."""
        if isinstance(known, str):
            if known.isascii() and known.isdigit():
                known = int(known)
            elif known:
                known = int.from_bytes(blake2b(known.encode(), digest_size=8).digest()) >> 14
            else:
                known = 0
        if known > 0:
            return known
        self._count += 1
        return self._count

    def _derived_quote(self, trade: Trade) -> Iterator[Quote]:
        listed = self._instruments[trade.instrument]
        scale, step, figures = listed.price_scale, listed.price_step, listed.price_figures
        if trade.aggressor == SELL:
            prices = trade.price, above(trade.price, scale, step=step, figures=figures)
        else:
            prices = max(0, below(trade.price, scale, step=step, figures=figures)), trade.price
        if prices == self._derived_prices.get(trade.instrument):
            return
        self._derived_prices[trade.instrument] = prices
        yield Quote(
            recv_ns=trade.recv_ns,
            venue_ns=trade.venue_ns,
            instrument=trade.instrument,
            bid=prices[0],
            bid_size=trade.size if prices[0] else 0,
            ask=prices[1],
            ask_size=trade.size,
        )

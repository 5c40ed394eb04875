"""What the sandbox plays: instruments, and trades and quotes by rising time.

Owns `Tape` and its two makers: `synthetic_tape` from the built-in market, `journal_tape` from a recorded day.
Promises: events come one at a time, so a tape of any length takes the same memory; their times never go
back; every trade has a side and an id. Called by the server.

A journal day is played with what it holds. What it lacks is made up, the same on every play:
- a trade without a side gets one by the tick rule (up: a buy, down: a sell, equal: as before);
- a trade without an id gets the next of a rising count; an id that is other text gets 50 bits of its hash;
- an instrument that has shown no quote yet gets a touch from its last print: the print stands on the side it
  was taken from, the other side is one grid step away, both of the print's size;
- a time that goes back is held at the latest one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

from adapters.sandbox.grid import above, below
from adapters.sandbox.market import COINS_DEFAULT, SyntheticMarket
from engine.errors import UsageError
from engine.events import Event, InstrumentListed, Quote, Trade
from engine.events.codec import decode_inputs
from engine.journal import read_frames
from engine.values import BUY, NO_SIDE, SELL

__all__ = ["SYNTHETIC_START_NS", "Play", "Tape", "day_tape", "journal_tape", "synthetic_tape"]

SYNTHETIC_START_NS: Final = 1_733_356_800_000_000_000
"""Where the built-in market's tape begins when recorded times are kept: 2024-12-05T00:00:00Z."""

Play = Iterator[Trade | Quote]

Blobs = Callable[[], Iterable[bytes]]
"""The input blobs of a recorded day, from its first; asked for once to look through, once per play."""

# The tags as msgpack writes them: an input blob without these bytes holds no such event.
_LISTED_TAG: Final = b"\xaainstrument"
_MARKET_TAGS: Final = (b"\xa5trade", b"\xa5quote")


class Tape(msgspec.Struct, frozen=True):
    """Instruments, the time of the first event, and a way to play it with all times moved by `shift_ns`."""

    instruments: list[InstrumentListed]
    start_ns: int
    play: Callable[[int], Play]


def synthetic_tape(
    seed: int = 1,
    coins: Sequence[str] = COINS_DEFAULT,
    start_ns: int = SYNTHETIC_START_NS,
    *,
    calm: bool = False,
) -> Tape:
    """Return the endless tape of the built-in market. Raises UsageError for a coin it does not know."""
    market = SyntheticMarket(seed, coins, calm=calm)
    return Tape(market.instruments(start_ns), start_ns, lambda shift_ns: market.events(start_ns + shift_ns))


def journal_tape(day_dir: Path) -> Tape:
    """Return the tape of a recorded day.

    Raises UsageError when it is missing or holds nothing to play, JournalError when it cannot be trusted.
    """
    if not day_dir.is_dir():
        raise UsageError(
            f"{day_dir}: no such day; give the folder of a journal day, such as journal/2024-12-05"
        )
    return day_tape(str(day_dir), lambda: (frame.inputs for frame in read_frames(day_dir)))


def day_tape(name: str, blobs: Blobs) -> Tape:
    """Return the tape of a day given as its input blobs; `name` is what an error calls it. Raises UsageError.

    The day is looked through once for its instruments, since `meta` must tell all of them from the start.
    """
    listed: dict[int, InstrumentListed] = {}
    start_ns: int | None = None
    for blob in blobs():
        first_market = start_ns is None and any(tag in blob for tag in _MARKET_TAGS)
        if not first_market and _LISTED_TAG not in blob:
            continue
        for event in decode_inputs(blob):
            if isinstance(event, InstrumentListed):
                listed[event.instrument] = _finest(listed.get(event.instrument), event)
            elif start_ns is None and isinstance(event, Trade | Quote):
                start_ns = event.venue_ns
    if start_ns is None:
        raise UsageError(f"{name}: the day holds no trades or quotes; there is nothing to play")
    names: dict[str, InstrumentListed] = {}
    for instrument in listed.values():
        twin = names.setdefault(instrument.name, instrument)
        if twin is not instrument:
            raise UsageError(
                f"{name}: {twin.venue} and {instrument.venue} both list {instrument.name!r}; "
                "the sandbox plays one of a name, so record or import one venue to a day"
            )

    def play(shift_ns: int) -> Play:
        return _DayPlay(listed, shift_ns).events(blobs())

    return Tape(list(listed.values()), start_ns, play)


def _finest(known: InstrumentListed | None, event: InstrumentListed) -> InstrumentListed:
    """Return the latest listing with the finest scales of both: the grid of a day that changed it."""
    if known is None:
        return event
    price_scale = max(known.price_scale, event.price_scale)
    size_scale = max(known.size_scale, event.size_scale)
    return msgspec.structs.replace(
        event,
        price_scale=price_scale,
        size_scale=size_scale,
        price_step=event.price_step * 10 ** (price_scale - event.price_scale),
        size_step=event.size_step * 10 ** (size_scale - event.size_scale),
    )


class _DayPlay:
    """One play of a day: makes up what the record lacks."""

    def __init__(self, instruments: dict[int, InstrumentListed], shift_ns: int) -> None:
        self._instruments = instruments
        self._shift_ns = shift_ns
        self._latest_ns = 0
        self._count = 0
        self._factors = dict.fromkeys(instruments, (1, 1))
        self._quoted: set[int] = set()
        self._last: dict[int, Trade] = {}
        self._touch: dict[int, tuple[int, int]] = {}

    def events(self, blobs: Iterable[bytes]) -> Play:
        for blob in blobs:
            for event in decode_inputs(blob):
                yield from self._played(event)

    def _played(self, event: Event) -> Iterator[Trade | Quote]:
        if isinstance(event, Trade):
            trade = self._trade(event)
            yield trade
            if trade.instrument not in self._quoted:
                yield from self._derived(trade)
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
        """Return the id as the number the wire carries."""
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

    def _derived(self, trade: Trade) -> Iterator[Quote]:
        listed = self._instruments[trade.instrument]
        scale, step, figures = listed.price_scale, listed.price_step, listed.price_figures
        if trade.aggressor == SELL:
            touch = trade.price, above(trade.price, scale, step=step, figures=figures)
        else:
            touch = max(0, below(trade.price, scale, step=step, figures=figures)), trade.price
        if touch == self._touch.get(trade.instrument):
            return
        self._touch[trade.instrument] = touch
        yield Quote(
            recv_ns=trade.recv_ns,
            venue_ns=trade.venue_ns,
            instrument=trade.instrument,
            bid=touch[0],
            bid_size=trade.size if touch[0] else 0,
            ask=touch[1],
            ask_size=trade.size,
        )

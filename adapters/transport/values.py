"""What every decoder of a venue checks: known instruments, possible times, exact numbers.

Owns the bounds of times and the record of what was left out. Promises: a number is exact at the scale of its
instrument, or VenueProtocolError; a time beyond its bounds, or an instrument that is not of the session, is
counted in `dropped` and described in `damages`. Pure. A venue's `Decoder` derives from `ValueDecoder`.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from adapters.transport.protocol import Damage
from adapters.transport.text import clip
from engine.clock import SECOND_NS, iso_text, parse_iso
from engine.errors import NumberError, UsageError, VenueProtocolError
from engine.events import CandleRead, InstrumentListed
from engine.values import INT64_MAX, parse_scaled, power_of_ten, wide

__all__ = [
    "AHEAD_NS_MAX",
    "EARLIEST_NS",
    "FINE_SCALE",
    "ValueDecoder",
    "candle_of",
    "iso_ns",
    "positive",
    "rounded",
    "within",
]

EARLIEST_NS: Final = 1_420_070_400 * SECOND_NS
"""2015-01-01: a sandbox may play a day of years ago. An older time is a wrong unit or a broken clock."""

AHEAD_NS_MAX: Final = 86_400 * SECOND_NS
"""How far a venue's time may lie ahead of ours where the difference of the clocks is not known."""

FINE_SCALE: Final = 10
"""Decimal places of contexts, mids and rates: the most that any recorded message has."""

_DECIMAL: Final = re.compile(r"(-?)([0-9]{1,40})(?:\.([0-9]{1,40}))?", re.ASCII)

_DAMAGES_MAX: Final = 5000
"""As many as a message can have rows."""


class ValueDecoder:
    """Decodes for a fixed set of instruments; `dropped` counts what was left out, by reason.

    `damages` describes the newest values that were left out, for a feed to take. `refused` counts invalid
    values. `ahead_ns` is how far a time may lie ahead of its receipt.
    """

    def __init__(self, instruments: Sequence[InstrumentListed], dropped: Counter[str] | None = None) -> None:
        self._by_name = {listed.name: listed for listed in instruments}
        self.dropped: Counter[str] = Counter() if dropped is None else dropped
        self.damages: deque[Damage] = deque(maxlen=_DAMAGES_MAX)
        self.refused = 0
        self.ahead_ns = AHEAD_NS_MAX

    def _known(self, channel: str, name: str) -> InstrumentListed | None:
        """Return the instrument of this name; leave the value out if it is not of the session."""
        listed = self._by_name.get(name)
        if listed is None:
            self._leave_out("foreign", channel, name, "not an instrument of this session")
        return listed

    def _timely(self, channel: str, name: str, venue_ns: int, recv_ns: int, *, placed: bool = False) -> bool:
        """Return whether a time is possible; leave the value out if it is not."""
        if EARLIEST_NS <= venue_ns <= recv_ns + self.ahead_ns:
            return True
        self.dropped["time"] += 1
        shown = iso_text(venue_ns) if abs(venue_ns) < 2**62 else f"{venue_ns} ns"
        reason = f"{clip(name)}: its time is {shown}, which is impossible at {iso_text(recv_ns)}"
        self.damages.append(Damage(channel, name, reason, placed))
        return False

    def _leave_out(self, count: str, channel: str, name: str, reason: str) -> None:
        self.dropped[count] += 1
        self.damages.append(Damage(channel, name, f"{clip(name)}: {reason}"))

    def _refuse(self, damage: Damage) -> None:
        self.refused += 1
        self.damages.append(damage)


def positive(text: str, scale: int, name: str) -> int:
    """Return a price or size as an exact integer at `scale`. Raises VenueProtocolError, also for zero."""
    try:
        value = parse_scaled(text, scale)
    except NumberError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error
    if not value:
        raise VenueProtocolError(f"{clip(name)}: {clip(text)} is zero, which no price or size may be")
    return value


def rounded(text: str, scale: int, name: str) -> int:
    """Return a number that may be negative, zero or finer than `scale`: rounded to it, halves away from 0."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise VenueProtocolError(f"{clip(name)}: {clip(text, 40)} is not a plain decimal number")
    minus, whole, fraction = match[1], match[2], match[3] or ""
    digits, shift = int(whole + fraction), scale - len(fraction)
    if shift >= 0:
        value = digits * power_of_ten(shift)
    else:
        unit = power_of_ten(-shift)
        value = (digits + unit // 2) // unit
    return -value if minus else value


def within(value: int, name: str) -> int:
    """Return a rounded price or size. Raises VenueProtocolError if no event can hold it: beyond 64 bits."""
    if abs(value) > INT64_MAX:
        raise VenueProtocolError(f"{clip(name)}: a price or size has more than 64 bits")
    return value


def candle_of(
    listed: InstrumentListed,
    interval_ns: int,
    start_ns: int,
    prices: Sequence[int],
    volume: int,
    trades: int,
    recv_ns: int,
    purpose: str,
) -> CandleRead:
    """Return a candle, as if it were closed. `prices` are open, high, low and close, in steps.

    Raises VenueProtocolError for a start that is none of its interval, for prices beyond high and low, for
    numbers that no event holds, and
    for a volume or a number of trades below 0.
    """
    name = clip(listed.name)
    if start_ns % interval_ns:
        raise VenueProtocolError(f"{name}: a candle of {interval_ns // SECOND_NS} s begins at {start_ns}")
    opened, high, low, close = prices
    for value in (high, low, trades):
        within(value, listed.name)
    if max(prices) != high or min(prices) != low:
        raise VenueProtocolError(f"{name}: the candle of {start_ns} has inconsistent prices")
    if volume < 0 or trades < 0:
        raise VenueProtocolError(
            f"{name}: the candle of {start_ns} has a negative volume or number of trades"
        )
    number, size = listed.instrument, wide(volume)
    end_ns = start_ns + interval_ns
    return CandleRead(
        *(recv_ns, end_ns, number, interval_ns, start_ns, opened, high, low, close, size, trades, purpose)
    )


def iso_ns(text: str, name: str) -> int:
    """Return the nanoseconds of an RFC 3339 time. Raises VenueProtocolError."""
    try:
        return parse_iso(text)
    except UsageError as error:
        raise VenueProtocolError(f"{clip(name)}: {error}") from error

"""The synthetic market: an endless, deterministic stream of trades and quotes from a seed.

Defines the available instruments and how their prices move. Promises: the same seed, start and instruments
give the same events on every machine and Python version (integers only, no clock, and only `getrandbits` of
`random.Random`); time never decreases; every price is on the grid of its listing; no quote is crossed; every
trade is at the bid or ask of the last quote. The events of an instrument do not depend on the other
instruments.

The model. Each instrument has a fair price: a random walk whose step size follows a volatility level (calm or
busy for minutes, with bursts that decay), plus a short drift (tens of seconds) and a long one (minutes), so
that moving averages cross on short bars and on 1-minute bars. A taker order trades at the best bid or ask in
one or more trades; the quote then follows the fair price. All events fall on blocks about 70 ms apart. In a
calm market the fair price reverts to its start, so that resting orders on both sides are reached within
seconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from random import Random
from typing import Final
from zlib import crc32

import msgspec

from adapters.exchange.grid import above, below
from engine.errors import UsageError
from engine.events import InstrumentListed, Quote, Trade
from engine.values import BUY, SELL, grid_step, parse_scaled

__all__ = [
    "INSTRUMENTS_DEFAULT",
    "PROFILES",
    "InstrumentProfile",
    "Lists",
    "SyntheticMarket",
]

_PLACES: Final = 6
"""Decimal places of a price and a size together, unless a venue lists an instrument otherwise."""

_MS: Final = 1_000_000
_BLOCK_MS: Final = 70
_FINE_BITS: Final = 24  # the fair price is in units of 2**-24 of the price unit
_LEVEL_ONE: Final = 256  # the volatility level 1
_TID_BITS: Final = 50
_TID_MASK: Final = 2**_TID_BITS - 1
_PULL_CALM: Final = 200_000  # the distance to the start halves every 3.5 s


class InstrumentProfile(msgspec.Struct, frozen=True):
    """The parameters of one instrument of the synthetic market.

    `price`: the first price, as text.
    `gap_ms`: the mean time between two events; `taker_percent` of them are taker orders.
    `more_trades_percent`: the chance that a taker order makes one more trade.
    `pace`: the step of the random walk, in 1e-9 of the price per square root of a millisecond.
    `lot`: the smallest usual size, in steps of the grid.
    `spread`: the width of the quote in grid steps.
    `burst`: how many times busier a burst can be.
    `pull`: the reversion to the first price, in 1e-9 of the distance per millisecond.
    `price_places`: decimal places of a price, None for 6 minus those of a size; `price_step`, `size_step`
    and `figures` are the rest of its grid.
    """

    name: str
    size_scale: int
    price: str
    gap_ms: int
    taker_percent: int
    more_trades_percent: int
    pace: int
    lot: int
    spread: int = 1
    burst: int = 3
    pull: int = 20
    price_places: int | None = None
    price_step: int = 1
    size_step: int = 1
    figures: int = 5

    @property
    def price_scale(self) -> int:
        """Decimal places of a price."""
        return _PLACES - self.size_scale if self.price_places is None else self.price_places

    def on_grid(self, listed: InstrumentListed) -> InstrumentProfile:
        """Return the profile on the grid of a venue's listing, with sizes of about the same amount."""
        lot = self.lot * 10 ** max(0, listed.size_scale - self.size_scale)
        lot //= 10 ** max(0, self.size_scale - listed.size_scale) * listed.size_step
        return msgspec.structs.replace(
            self,
            size_scale=listed.size_scale,
            lot=max(1, lot),
            price_places=listed.price_scale,
            price_step=listed.price_step,
            size_step=listed.size_step,
            figures=listed.price_figures,
        )


PROFILES: Final = {
    profile.name: profile
    for profile in (
        InstrumentProfile("BTC", 5, "97000", 180, 76, 62, 2850, 400),
        InstrumentProfile("ETH", 4, "3700", 405, 70, 60, 3500, 900, burst=8),
        InstrumentProfile("PURR", 0, "0.21", 16_000, 14, 28, 7000, 300, spread=4),
        InstrumentProfile("SOL", 2, "235", 300, 72, 58, 4200, 60, burst=5),
        InstrumentProfile("HYPE", 2, "28", 420, 70, 55, 5200, 200, spread=2, burst=5),
        InstrumentProfile("DOGE", 0, "0.43", 620, 66, 50, 5000, 300, burst=4),
        InstrumentProfile("XRP", 0, "2.4", 520, 66, 50, 4600, 60, burst=4),
        InstrumentProfile("LINK", 1, "24", 1500, 60, 45, 4800, 30, spread=2),
        InstrumentProfile("AVAX", 2, "51", 1800, 60, 45, 5000, 150, spread=2),
    )
}
"""All available instruments, by name."""

INSTRUMENTS_DEFAULT: Final = ("BTC", "ETH", "PURR")
"""A very busy instrument, a busy one with bursts, and one that often has no trades for minutes."""


Lists = Callable[[InstrumentProfile, int, int], InstrumentListed]
"""Returns how a venue lists an instrument, given its profile, its number and the time of receipt."""


class SyntheticMarket:
    """The market of some instruments from one seed. Every call of `events` yields the same stream.

    `lists` says how the venue lists them; `instruments` are their names, at the venue or in `PROFILES`.
    """

    def __init__(
        self,
        seed: int = 1,
        instruments: Sequence[str] = INSTRUMENTS_DEFAULT,
        *,
        lists: Lists,
        calm: bool = False,
    ) -> None:
        if not instruments or len(set(instruments)) != len(instruments):
            raise UsageError("give at least one instrument of the synthetic market, and none of them twice")
        own = {lists(profile, 0, 0).name: name for name, profile in PROFILES.items()}
        unknown = [name for name in instruments if name not in PROFILES and name not in own]
        if unknown:
            raise UsageError(
                f"the synthetic market has no instrument {unknown[0]!r}; available: {' '.join(own)}"
            )
        self._seed = seed
        self._lists = lists
        profiles = [PROFILES[own.get(name, name)] for name in instruments]
        self._bases = [_calmed(profile) for profile in profiles] if calm else profiles
        self._profiles = [base.on_grid(lists(base, 0, 0)) for base in self._bases]

    def instruments(self, recv_ns: int) -> list[InstrumentListed]:
        """Return the instruments, numbered from 1 in the given order."""
        return [self._lists(base, number, recv_ns) for number, base in enumerate(self._bases, start=1)]

    def events(self, start_ns: int) -> Iterator[Trade | Quote]:
        """Yield events in order of time, without end, beginning with a quote per instrument at `start_ns`."""
        generators = [
            _InstrumentGenerator(number, profile, self._seed, start_ns)
            for number, profile in enumerate(self._profiles, start=1)
        ]
        for generator in generators:
            yield generator.quote
        first_block = start_ns // (_MS * _BLOCK_MS) + 1
        for generator in generators:
            generator.next_block += first_block
        while True:
            generator = min(generators, key=_next_block)
            yield from generator.step()


def _calmed(profile: InstrumentProfile) -> InstrumentProfile:
    """Return a profile with many taker orders, whose price returns to the first price within seconds."""
    return msgspec.structs.replace(
        profile, gap_ms=min(profile.gap_ms, 400), taker_percent=90, burst=1, pull=_PULL_CALM
    )


def _next_block(generator: _InstrumentGenerator) -> int:
    return generator.next_block


def _decay_table() -> list[int]:
    """Return 2**32 * (255/256)**n for n from 4095 down to 0, in ascending order."""
    table = [2**32]
    while len(table) < 4096:
        table.append(table[-1] * 255 // 256)
    return table[::-1]


_DECAY: Final = _decay_table()


class _InstrumentGenerator:
    """The state of one instrument, with its own random number generator."""

    def __init__(self, number: int, profile: InstrumentProfile, seed: int, start_ns: int) -> None:
        salt = crc32(profile.name.encode())
        self._bits = Random(seed << 32 | salt).getrandbits
        self._number = number
        self._profile = profile
        self._seed = seed & 0xFFFF
        self._salt = salt
        self._scale = profile.price_scale
        base = parse_scaled(profile.price, profile.price_scale)
        base += base * (self._bits(12) - 2048) // 65_536  # up to 3 percent away
        self._base = base << _FINE_BITS
        self._fair = self._base
        self._floor, self._ceiling = self._base // 4, self._base * 4
        self._tid_count = 0
        self._side = BUY
        self._now_ms = start_ns // _MS
        self._short_drift = self._long_drift = 0
        self._short_until = self._long_until = self._now_ms
        self._level = _LEVEL_ONE
        self._burst = 0
        self._turn_drifts()
        self.quote = self._make_quote(start_ns)
        self.next_block = self._gap_blocks()

    def step(self) -> list[Trade | Quote]:
        """Return the events of the next block: possibly trades of a taker order, then possibly a quote."""
        block = self.next_block
        # All instruments share the block times, which are 47 to 93 ms apart.
        now_ms = block * _BLOCK_MS + (block * 0x9E3779B1 + self._seed >> 7) % 24
        elapsed_ms = now_ms - self._now_ms
        self._now_ms = now_ms
        events: list[Trade | Quote] = []
        if self._bits(16) * 100 < self._profile.taker_percent << 16:
            self._take(events)
        self._move(elapsed_ms)
        self._requote(events)
        self.next_block = block + self._gap_blocks()
        return events

    # --- random numbers -------------------------------------------------------------------------------

    def _exponential(self, mean: int) -> int:
        """Return an exponentially distributed integer."""
        return (4095 - bisect_left(_DECAY, self._bits(32))) * mean // 256

    def _normal(self) -> int:
        """Return an approximately normal integer with mean 0 and standard deviation 209."""
        return sum(self._bits(64).to_bytes(8, "little")) - 1020

    def _gap_blocks(self) -> int:
        gap_ms = self._exponential(self._profile.gap_ms) * _LEVEL_ONE // (self._level + self._burst)
        return 1 + gap_ms // _BLOCK_MS

    def _size(self) -> int:
        """Return a size in steps, long-tailed: most are small, a few are hundreds of times larger."""
        draw = self._bits(24)
        zeros = draw | 1 << 9
        doublings = (zeros & -zeros).bit_length() - 1
        return max(1, (self._profile.lot << doublings) * (128 + (draw >> 16)) >> 8)

    # --- events ---------------------------------------------------------------------------------------

    def _take(self, events: list[Trade | Quote]) -> None:
        """Add a taker order: one or more trades at the current bid or ask that leave some size there."""
        quote = self.quote
        lean = self._fair - ((quote.bid + quote.ask) << _FINE_BITS - 1)
        width = (quote.ask - quote.bid) << _FINE_BITS
        if self._bits(2):
            self._side = BUY if lean * 418 + width * self._normal() > 0 else SELL
        price, standing = (quote.ask, quote.ask_size) if self._side == BUY else (quote.bid, quote.bid_size)
        step = self._profile.size_step
        left = standing // step - 1
        venue_ns = self._now_ms * _MS
        while left > 0:
            size = min(self._size(), left)
            left -= size
            events.append(
                Trade(venue_ns, venue_ns, self._number, price, size * step, self._side, self._next_trade_id())
            )
            if self._bits(16) * 100 >= self._profile.more_trades_percent << 16:
                break
        remaining = (left + 1) * step
        bid_size, ask_size = quote.bid_size, quote.ask_size
        if self._side == BUY:
            ask_size = remaining
        else:
            bid_size = remaining
        self.quote = Quote(
            quote.recv_ns, quote.venue_ns, self._number, quote.bid, bid_size, quote.ask, ask_size
        )

    def _next_trade_id(self) -> int:
        """Return the next of 2**50 ids in pseudo-random order. Ids are unique and never 0."""
        while True:
            self._tid_count += 1
            value = (self._tid_count * 0x2545F4914F6CDD + self._salt) & _TID_MASK
            value ^= value >> 25
            value = value * 0x369DEA0F31A53F & _TID_MASK
            if value:
                return value

    def _move(self, elapsed_ms: int) -> None:
        """Move the fair price by `elapsed_ms` of time."""
        if self._now_ms >= self._short_until:
            self._turn_drifts()
        if self._burst:
            self._burst = self._burst * max(0, 8192 - elapsed_ms) >> 13
        fair, profile = self._fair, self._profile
        level = isqrt((self._level + self._burst) << 8)
        noise = profile.pace * self._normal() * level * isqrt(elapsed_ms << 8) // (209 * 16 * _LEVEL_ONE)
        # The pull keeps an endless market near its first price: a few percent a day, more in a calm market.
        pull = (self._base - fair) * profile.pull // self._base
        drift = (self._long_drift + self._short_drift + pull) * elapsed_ms
        fair += fair * (noise + drift) // 1_000_000_000
        self._fair = min(max(fair, self._floor), self._ceiling)

    def _turn_drifts(self) -> None:
        """Start a new short drift (20 to 52 s) and, if the long one is over, a new long drift (4 to 8 min).

        A drift reverses more often than it continues, so that the price crosses its moving averages.
        """
        pace = self._profile.pace
        self._short_drift = self._turned(self._short_drift, pace // 100)
        self._short_until = self._now_ms + 20_000 + self._bits(15)
        if self._now_ms >= self._long_until:
            self._long_drift = self._turned(self._long_drift, pace // 150)
            self._long_until = self._now_ms + 240_000 + self._bits(18)
        wanted = (90, 130, 180, 256, 256, 330, 420, 600)[self._bits(3)]
        self._level = (self._level * 5 + wanted * 3) // 8
        if not self._bits(2):
            self._burst = _LEVEL_ONE * (1 + self._bits(8) * self._profile.burst // 256)

    def _turned(self, drift: int, size: int) -> int:
        """Return a drift of about `size` that has the opposite sign in seven of eight cases."""
        down = drift > 0 if self._bits(3) else drift < 0
        size = size * (256 + self._bits(8)) // 512
        return -size if down else size

    def _make_quote(self, venue_ns: int) -> Quote:
        """Return a quote around the fair price, with new sizes."""
        scale, profile = self._scale, self._profile
        grid = {"step": profile.price_step, "figures": profile.figures}
        fair = self._fair >> _FINE_BITS
        width = profile.spread
        if width > 1:
            width += self._bits(2)
        step = grid_step(fair, scale=scale, **grid)
        bid = (fair - (width - 1) * step // 2) // step * step
        if bid > fair or bid <= 0:
            bid = below(fair, scale, **grid)
        ask = bid
        for _ in range(width):
            ask = above(ask, scale, **grid)
        bid_size = (8 * self._size() + 2) * profile.size_step
        ask_size = (8 * self._size() + 2) * profile.size_step
        return Quote(venue_ns, venue_ns, self._number, bid, bid_size, ask, ask_size)

    def _requote(self, events: list[Trade | Quote]) -> None:
        """Move the quote to the fair price if that lies outside it; otherwise mostly keep its prices."""
        quote = self.quote
        fair = self._fair >> _FINE_BITS
        venue_ns = self._now_ms * _MS
        if quote.bid <= fair <= quote.ask and self._bits(3):
            if not events:
                return
            quote = Quote(
                venue_ns, venue_ns, self._number, quote.bid, quote.bid_size, quote.ask, quote.ask_size
            )
        else:
            quote = self._make_quote(venue_ns)
        self.quote = quote
        events.append(quote)

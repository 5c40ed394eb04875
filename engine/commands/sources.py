"""The venues of one session: their clients, instruments, clocks, feeds and history, joined.

Promises: a name `venue:NAME` is asked of its venue only; each venue sees its own instruments and channels;
the clocks of the venues are one clock, or the session does not begin; what one venue cannot give costs only
its own instruments. Called by `planning.py`; with one venue all of it is that venue.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import click
import msgspec
from msgspec.structs import replace

from engine.clock import SECOND_NS, AdoptedClock, SystemClock, day_start_ns, iso_text
from engine.config import Config
from engine.errors import (
    ConfigError,
    EngineError,
    SafetyRefusal,
    UsageError,
    VenueProtocolError,
    VenueUnreachable,
)
from engine.events import CandleRead, ClockAdopted, ClockChecked, Event, InstrumentListed
from engine.instruments import check_listing
from engine.ports import Clock, Edge
from engine.runtime.ingress import Ingress
from engine.venue import LastTrades, Listing, SessionContext, Signer, Tap, Venue, VenueClient, VenueTime

__all__ = [
    "SKEW_NS_MAX",
    "Missing",
    "Source",
    "check_channels",
    "connect",
    "own_config",
    "reached",
    "session_clock",
    "warm_up",
]

SKEW_NS_MAX: Final = SECOND_NS
"""If the clock differs more than this from the venue's: a warning, and real orders are refused."""

_APART_S_MAX: Final = 1.0
"""How far the clocks of two accelerated venues may be apart, in real seconds: each answer takes a moment."""

_FIRST_NS: Final = day_start_ns("2015-01-01")
_LAST_NS: Final = day_start_ns("2200-01-01")


class Missing(msgspec.Struct, frozen=True):
    """A venue that could not be reached. `names` are asked of it, `instruments` are those of the journal."""

    venue: Venue
    base_url: str
    names: tuple[str, ...]
    instruments: list[InstrumentListed]
    why: VenueUnreachable

    @property
    def lists(self) -> str:
        """See `Source.lists`."""
        return self.venue.lists_as or self.venue.name


class Source(msgspec.Struct, frozen=True):
    """A venue of the session, at one address. `alone`: the session has no other."""

    venue: Venue
    base_url: str
    client: VenueClient
    listing: Listing
    alone: bool

    @property
    def lists(self) -> str:
        """The venue in the identity of its instruments."""
        return self.venue.lists_as or self.venue.name

    @property
    def instruments(self) -> list[InstrumentListed]:
        """The instruments of the session that the venue lists."""
        return self.listing.instruments

    def own(self, instruments: Sequence[InstrumentListed]) -> list[InstrumentListed]:
        """Return those of the session's instruments that the venue lists."""
        return [one for one in instruments if self.alone or one.venue == self.lists]

    def feeds(
        self,
        config: Config,
        clock: Clock,
        jitter: Callable[[], float],
        instruments: Sequence[InstrumentListed],
        ingress: Ingress,
        last: LastTrades,
        tap: Tap | None,
    ) -> list[Edge]:
        """Return the venue's feeds, of its own instruments and channels."""
        own = self.own(instruments)
        known = {one.instrument: last[one.instrument] for one in own if one.instrument in last}
        given = config if self.alone else own_config(config, self.venue)
        edges = list(self.client.feeds(SessionContext(given, clock, jitter, own, ingress, known, tap)))
        if self.alone:
            return edges
        names = (self.venue.name, self.lists)
        return [
            one if one.name in names else replace(one, name=f"{self.venue.name} {one.name}") for one in edges
        ]

    def health(self) -> dict[str, Callable[[], str]]:
        """Return the lines of the venue, which bear its name if there are several."""
        lines = self.client.health
        return (
            dict(lines) if self.alone else {f"{self.venue.name} {name}": line for name, line in lines.items()}
        )


async def connect(
    venues: Sequence[tuple[Venue, str]],
    config: Config,
    signers: Mapping[str, Signer] = {},
    known: Callable[[str, Sequence[str]], list[InstrumentListed]] = lambda _venue, _names: [],
) -> list[Source | Missing]:
    """Connect to the venues at their addresses and read their listings. Raises EngineError.

    `signers` are those of the venues that real orders go to, by name. `known` returns the instruments that
    the journal has of a venue; with them one of several may be missing, if another is there.
    """
    alone = len(venues) == 1
    asked = {venue.name: venue.own_names(config.instruments) for venue, _ in venues}
    if not alone:
        asked = _divided([venue for venue, _ in venues], config)
    sources: list[Source | Missing] = []
    for venue, url in venues:
        try:
            found = await _connected(
                venue, url, asked[venue.name], config, signers.get(venue.name), alone=alone
            )
        except VenueUnreachable as error:
            held = [] if alone else known(venue.lists_as or venue.name, asked[venue.name])
            if not held:
                raise
            sources.append(Missing(venue, url, asked[venue.name], held, error))
        else:
            sources.append(found)
    missing = [one for one in sources if isinstance(one, Missing)]
    if len(missing) == len(sources):
        raise missing[0].why
    return sources


async def _connected(
    venue: Venue, url: str, names: tuple[str, ...], config: Config, signer: Signer | None, *, alone: bool
) -> Source:
    client = await venue.connect(url, config, signer)
    listing = await client.listing(names)
    check_listing(listing.instruments, url)
    return Source(venue, url, client, listing, alone)


async def reached(
    missing: Missing, first: Source, config: Config, signer: Signer | None, now_ns: int
) -> tuple[Source, list[Event]]:
    """Connect to a venue that was missing; return it, and the event of its clock. Raises EngineError.

    Its listing has to be the one that the session began with, and its clock that of the session.
    """
    found = await _connected(missing.venue, missing.base_url, missing.names, config, signer, alone=False)
    before = {one.name: replace(one, recv_ns=0, instrument=0) for one in missing.instruments}
    now = {one.name: replace(one, recv_ns=0, instrument=0) for one in found.instruments}
    for name, one in before.items():
        if now.get(name) != one:
            raise EngineError(f"its listing of {name} has changed; start again to take it over")
    _check_one_clock(first, found)
    time = found.listing.time
    if time.speed is not None:
        return found, []
    offset_ns = time.venue_ns - time.sent_ns
    if abs(offset_ns) > SKEW_NS_MAX and signer is not None:
        raise SafetyRefusal(
            f"this machine's clock is {abs(offset_ns) / 1e9:.1f} s off that of {found.venue.name}"
        )
    return found, [ClockChecked(now_ns, found.lists, offset_ns)]


def own_config(config: Config, venue: Venue) -> Config:
    """Return the configuration as one of several venues sees it: with the channels that it has."""
    channels = tuple(name for name in config.data.channels if name in venue.channels)
    return msgspec.structs.replace(config, data=msgspec.structs.replace(config.data, channels=channels))


def check_channels(config: Config, venues: Sequence[Venue]) -> None:
    """Raise ConfigError for a channel that none of several venues has."""
    known = {name for venue in venues for name in venue.channels}
    for name in config.data.channels:
        if name not in known:
            raise ConfigError(f"data.channels: none of the venues has {name!r}")


def _divided(venues: Sequence[Venue], config: Config) -> dict[str, tuple[str, ...]]:
    """Return the names to ask of each venue. Raises UsageError unless each name says whose it is."""
    prefixes = [venue.lists_as or venue.name for venue in venues]
    for number, prefix in enumerate(prefixes):
        if prefix in prefixes[:number]:
            first = venues[prefixes.index(prefix)].name
            raise UsageError(
                f"--venue {first} --venue {venues[number].name}: both list {prefix}:NAME; give one of them"
            )
    for text in config.instruments:
        if text.partition(":")[0] not in prefixes:
            raise UsageError(
                f"{text}: with several venues an instrument is written as venue:NAME, "
                f"such as {prefixes[0]}:{text}"
            )
    asked = {}
    for venue, prefix in zip(venues, prefixes, strict=True):
        own = [text for text in config.instruments if text.startswith(f"{prefix}:")]
        if config.instruments and not own:
            raise UsageError(
                f"--venue {venue.name}: no instrument of it is named; add one, such as {prefix}:NAME"
            )
        asked[venue.name] = venue.own_names(own)
    return asked


def check_currencies(armed: Sequence[Source | Missing], config: Config) -> None:
    """Raise SafetyRefusal unless the accounts of the venues can be summed in one currency."""
    found: dict[str, str] = {}
    for source in armed:
        for quote in dict.fromkeys(one.rules.quote for one in source.instruments):
            found.setdefault(quote, source.venue.name)
    if len(found) < 2:
        return
    currency = config.account.currency
    shown = ", ".join(f"{quote} at {venue}" for quote, venue in found.items())
    if not currency:
        raise SafetyRefusal(
            f"the accounts are in several currencies ({shown}); set the one that all is valued in, as "
            "currency under [account]"
        )
    for quote, venue in found.items():
        if quote not in (currency, *config.account.prices):
            raise SafetyRefusal(
                f"the account at {venue} is in {quote}, and account.currency is {currency}; say what one is "
                f'worth under [account], such as prices = {{ {quote} = "1" }}'
            )


def session_clock(
    sources: Sequence[Source], *, real: Collection[str] = ()
) -> tuple[Clock, float, list[Event]]:
    """Return the session's clock, its speed, and the events that record it.

    `real` are the names of the venues that real orders go to.

    Raises SafetyRefusal, UsageError if the clocks of the venues are not one, and VenueProtocolError for a
    time after which no day can be named.
    """
    for one in sources:
        time = one.listing.time
        if not _FIRST_NS <= time.venue_ns < _LAST_NS:
            shown = iso_text(time.venue_ns)
            raise VenueProtocolError(f"{one.base_url}: its clock shows {shown}, which is not in 2015 to 2199")
    for other in sources[1:]:
        _check_one_clock(sources[0], other)
    own = [one for one in sources if one.listing.time.speed is not None]
    if len(own) == len(sources):
        first, time = own[0], own[0].listing.time
        speed = time.speed or 1.0
        adopted = AdoptedClock(time.venue_ns, time.answered_ns, speed)
        return adopted, speed, [ClockAdopted(time.venue_ns, first.base_url, time.venue_ns, speed)]
    return SystemClock(), 1.0, [_checked(one, real=one.venue.name in real) for one in sources]


def _check_one_clock(first: Source, other: Source) -> None:
    """Raise UsageError unless the clocks of two venues are one clock."""
    one, two = first.listing.time, other.listing.time
    speed = one.speed or 1.0
    names = f"{first.venue.name} and {other.venue.name}"
    together = f"engine sandbox --venue {first.venue.name} --venue {other.venue.name} makes them one clock"
    if speed != (two.speed or 1.0):
        speeds = " and ".join(map(_speed_words, (first, other)))
        raise UsageError(f"the clocks of {names} do not agree: {speeds}; {together}")
    at_ns = one.venue_ns + int((two.answered_ns - one.answered_ns) * speed)
    if abs(two.venue_ns - at_ns) > _APART_S_MAX * max(speed, 1.0) * SECOND_NS:
        apart = f"{abs(two.venue_ns - at_ns) / 1e9:.1f} s apart"
        raise UsageError(f"the clocks of {names} do not agree: they are {apart}; {together}")


def _speed_words(source: Source) -> str:
    speed = source.listing.time.speed
    words = "keeps real time" if speed is None else f"has a clock of its own, {speed:g} times real time"
    return f"{source.venue.name} {words}"


def _checked(source: Source, *, real: bool) -> Event:
    """Return the event of one venue's clock, compared with this machine's. Raises SafetyRefusal."""
    time: VenueTime = source.listing.time
    offset_ns = time.venue_ns - time.sent_ns
    if abs(offset_ns) > SKEW_NS_MAX:
        whose = "the venue's" if source.alone else f"that of {source.venue.name}"
        off = f"this machine's clock is {abs(offset_ns) / 1e9:.1f} s off {whose}"
        if real:
            raise SafetyRefusal(f"{off}; correct it before real orders are sent")
        click.echo(f"engine: warning: {off}; real orders are refused until it is corrected", err=True)
    return ClockChecked(time.sent_ns, source.base_url if source.alone else source.lists, offset_ns)


async def warm_up(
    sources: Sequence[Source],
    instruments: Sequence[InstrumentListed],
    windows: Mapping[str, int],
    now_ns: int,
    health: dict[str, Callable[[], str]],
) -> list[Event]:
    """Return the newest closed candles of each venue that has history, oldest first.

    A venue that cannot give them is named in `health`; the others are read. Raises EngineError if none can.
    """
    events: list[Event] = []
    failures: list[EngineError] = []
    unusable: list[str] = []
    able = [one for one in sources if one.venue.has_history]
    for source in able:
        source.client.unusable.clear()
        try:
            events += await _of_one(source, source.own(instruments), windows, now_ns)
        except EngineError as error:
            if len(able) == 1:
                raise
            failures.append(error)
            unusable.append(f"{source.venue.name}: {error}")
        unusable += [one.reason for one in source.client.unusable]
    if failures and len(failures) == len(able):
        raise failures[0]
    if unusable:
        line = f"{len(unusable):,} answers or rows of the venue cannot be used: {unusable[0]}"
        health["warm-up"] = lambda: line
    if len(able) > 1:
        events.sort(key=_time)
    return events


async def _of_one(
    source: Source, instruments: Sequence[InstrumentListed], windows: Mapping[str, int], now_ns: int
) -> list[Event]:
    events: list[Event] = []
    for count in sorted({*windows.values()}):
        intervals = [name for name, one in windows.items() if one == count]
        events += await source.client.warm_up(instruments, intervals, count, now_ns)
    return events


def _time(event: Event) -> tuple[int, int]:
    """Return the order of past candles: by their end, the shorter first, as one venue gives them."""
    return (event.venue_ns, event.interval_ns) if isinstance(event, CandleRead) else (0, 0)

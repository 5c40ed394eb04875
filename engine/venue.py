"""The port to venues: what a venue offers, and the types that both sides share.

A venue is a package (`adapters/hyperliquid/`, or somebody else's) with a subclass of `Venue`; it is found by
its name (`engine.loading.venues`). `Venue` is what can be known without a connection: names, rules, checks
of the configuration, keys. `VenueClient` is one session's access at one address: listing, feeds, history,
orders, which share the count of the venue's limits. The engine never imports a venue by name, and
`engine replay` imports none at all, unless it decodes raw messages again.

Optional parts: where `has_orders`, `has_history` or `has_raw` is False, the commands refuse what needs it,
and the methods are never called.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import ClassVar, Literal, Protocol

import msgspec

from engine.config import Config, read_section
from engine.events import CandleRead, Event, FundingRead, InstrumentListed, MarketRules, OpenInterestRead
from engine.ports import Clock, Edge, Effects

__all__ = [
    "Account",
    "Gateway",
    "Inputs",
    "LastTrades",
    "Listing",
    "RawDecoder",
    "Rules",
    "SessionContext",
    "Settings",
    "Signer",
    "Tap",
    "Unusable",
    "Venue",
    "VenueClient",
    "VenueTime",
]

LastTrades = dict[int, tuple[int, list[int | str]]]
"""Per instrument number, the venue time of the last trade on record and the ids of all at that time."""

Tap = Callable[[int, str | bytes], None]
"""Receives each message of a feed, unchanged, with its time of receipt; never waits."""


class Inputs(Protocol):
    """The bounded queue of inputs of the engine."""

    async def send(self, events: list[Event]) -> None:
        """Queue inputs; wait while the queue is full."""
        ...

    def offer(self, events: list[Event]) -> bool:
        """Queue inputs if they fit, and return whether they did."""
        ...


class Account(msgspec.Struct, frozen=True):
    """The account as the journal records it when a session begins.

    `since_ns`: fills from then on may be missing. `nonce_floor_ms` is above every nonce ever used. `working`
    returns the client ids of orders that may still fill, `knows` returns whether an order was sent by this
    journal. `at` returns the account at one venue of a session that has accounts at several. `sent` returns
    the client ids of the orders that the journal remembers: all that work, and those that ended lately.
    """

    since_ns: int
    nonce_floor_ms: int
    working: Callable[[], list[str]]
    knows: Callable[[str], bool]
    at: Callable[[str], Account] | None = None
    sent: Callable[[], list[str]] = list


class Gateway(Effects, Protocol):
    """Sends durable commands to a venue and reads their outcome. Its reports are inputs of the engine."""

    name: str

    async def run(self) -> None:
        """Work until cancelled. May be called again after it raised."""
        ...


class Signer(Protocol):
    """Signs for one address. Only the venue's package has access to the key."""

    @property
    def address(self) -> str:
        """The address that it signs for."""
        ...


class RawDecoder(Protocol):
    """Decodes recorded messages of a feed with today's code.

    `books_every_ns`: a feed that keeps books from changes records one at most so often, and only when its
    best levels changed, while its decoder returns the state after every message. 0: every book is recorded.
    """

    books_every_ns: int

    def decode(self, message: str | bytes, recv_ns: int) -> Sequence[Event]:
        """Return every event in a message; candles even while they are open. Raises VenueProtocolError."""
        ...


class Rules(msgspec.Struct, frozen=True):
    """A venue's rules as data, from which its listing gives each market its own.

    `price_figures`: significant figures of a price at most (0: no bound). `price_decimals`: by kind of
    instrument, the decimals of price and size together at most. `silence` and `ids`: the candles of a
    window without trades, and the order of trades (see `InstrumentListed`). `markets`: by kind of
    instrument, the trading rules of its markets; what differs between markets is set by the listing.
    `candle_grace_s`: how long after its end a candle may still lack trades. `candles_kept`: how many of the
    newest candles of an interval the venue keeps (0: all). `interest_s`: the time between two readings of
    open interest, if the venue has a history of them, else 0; it keeps those of the last `interest_kept_s`.
    """

    price_figures: int = 0
    price_decimals: Mapping[str, int] = {}
    silence: Literal["flat", "none"] = "flat"
    ids: Literal["arrival", "sequence"] = "arrival"
    markets: Mapping[str, MarketRules] = {}
    candle_grace_s: int = 3
    candles_kept: int = 0
    interest_s: int = 0
    interest_kept_s: int = 0


class Unusable(msgspec.Struct, frozen=True):
    """A row of the venue's history that was left out. `at_ns` is its start or time, None if unknown."""

    at_ns: int | None
    reason: str


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys of a venue's own section, `[venues.NAME]`; a subclass adds them, each with a default."""


class VenueTime(msgspec.Struct, frozen=True):
    """The venue's clock, read once.

    `sent_ns` is our clock when the request was sent, `answered_ns` our monotonic clock when the answer was
    received. `speed` is set by a venue whose clock the engine adopts, such as a sandbox: seconds per real
    second.
    """

    venue_ns: int
    sent_ns: int
    answered_ns: int
    speed: float | None = None


class Listing(msgspec.Struct, frozen=True):
    """The instruments of a session, whose numbers the journal gives later, and the time at the venue."""

    instruments: list[InstrumentListed]
    time: VenueTime


class SessionContext(msgspec.Struct, frozen=True):
    """The context that a session passes to feeds and gateway.

    The instruments have their numbers. `jitter` returns 0 to 1. `last` are the newest trades on record.
    `tap`, if set, receives every message of the feed.
    """

    config: Config
    clock: Clock
    jitter: Callable[[], float]
    instruments: Sequence[InstrumentListed]
    inputs: Inputs
    last: LastTrades = {}
    tap: Tap | None = None


class VenueClient(ABC):
    """One session's access to a venue at one address.

    `health` holds lines for people, by name; feeds and gateway add theirs when they are made. `unusable`
    holds the rows that `candles`, `funding_rates` and `open_interest` left out; the caller clears it.
    """

    def __init__(self) -> None:
        self.health: dict[str, Callable[[], str]] = {}
        self.unusable: list[Unusable] = []

    @abstractmethod
    async def listing(self, names: Sequence[str]) -> Listing:
        """Return the named instruments, or all if `names` is empty, and then the venue's time.

        Raises UsageError for a name that the venue does not list, VenueError.
        """

    @abstractmethod
    def feeds(self, context: SessionContext) -> Sequence[Edge]:
        """Return the market data feeds, as edges that send to `context.inputs`. Called once."""

    async def warm_up(
        self, instruments: Sequence[InstrumentListed], intervals: Sequence[str], count: int, now_ns: int
    ) -> list[Event]:
        """Return the last `count` closed candles of each interval, oldest first. Raises VenueError.

        There may be fewer. A window without a candle that is flat by the venue's custom is a candle of
        purpose "flat".
        """
        raise NotImplementedError

    async def candles(
        self, listed: InstrumentListed, interval_ns: int, from_ns: int, to_ns: int
    ) -> Sequence[CandleRead]:
        """Return the closed candles of the windows from `from_ns` to `to_ns`, oldest first.

        Both are starts of windows. Windows without a candle are left out; rows that cannot be used are added
        to `unusable`. Raises VenueError.
        """
        raise NotImplementedError

    async def funding_rates(
        self, listed: InstrumentListed, from_ns: int, to_ns: int
    ) -> Sequence[FundingRead]:
        """Return the settled funding rates from `from_ns` on, before `to_ns`, oldest first.

        Empty where the venue has none; rows that cannot be used are added to `unusable`. Raises VenueError.
        """
        return []

    async def open_interest(
        self, listed: InstrumentListed, from_ns: int, to_ns: int
    ) -> Sequence[OpenInterestRead]:
        """Return the readings of open interest from `from_ns` on, before `to_ns`, oldest first.

        Only asked where `Rules.interest_s` says that there are any; rows that cannot be used are added to
        `unusable`. Raises VenueError.
        """
        return []

    def gateway(self, context: SessionContext, account: Account) -> Gateway:
        """Return the gateway of the signer that this client was made with."""
        raise NotImplementedError


class Venue(ABC):
    """A venue: found by name, made without arguments, and without I/O until `connect`.

    `rules`, `settings` (the struct of its section `[venues.NAME]`) and `channels` (market data besides
    trades and the best bid and ask, named as in `data.channels`) are data. `lists_as` is the venue in the
    identity of its instruments, "" for its own name; a simulation lists those of the venue that it
    imitates. `has_orders`: real
    orders can be sent. `has_history`: candles of the past can be read. `has_raw`: recorded messages can be
    decoded again. `sandbox`: its protocol for the local exchange, as module:Class, "" for none.
    """

    name: ClassVar[str]
    lists_as: ClassVar[str] = ""
    sandbox: ClassVar[str] = ""
    rules: ClassVar[Rules] = Rules()
    settings: ClassVar[type[Settings]] = Settings
    channels: ClassVar[tuple[str, ...]] = ()
    has_orders: ClassVar[bool] = False
    has_history: ClassVar[bool] = False
    has_raw: ClassVar[bool] = False

    def section(self, config: Config) -> Settings:
        """Return the venue's own section of a configuration. Raises ConfigError."""
        return read_section(config, self.name, self.settings)

    def own_names(self, texts: Sequence[str]) -> tuple[str, ...]:
        """Return instruments of this venue, given as `venue:NAME` or NAME, as its NAMEs."""
        return tuple(text.removeprefix(f"{self.lists_as or self.name}:") for text in texts)

    @abstractmethod
    def check(self, config: Config) -> None:
        """Raise ConfigError or UsageError for a configuration that the venue cannot serve."""

    @abstractmethod
    def address(self, config: Config, base_url: str | None, *, real: bool) -> str | None:
        """Return the address to connect to: `base_url` if given, else the venue's own.

        None means the embedded sandbox. `real`: for real orders. Raises UsageError,
        SafetyRefusal.
        """

    @abstractmethod
    async def connect(self, base_url: str, config: Config, signer: Signer | None = None) -> VenueClient:
        """Return a client for this address; with a signer, after checking that it may sign for the account.

        Raises VenueError, SafetyRefusal.
        """

    def load_signer(self, config: Config, environ: MutableMapping[str, str] = os.environ) -> Signer:
        """Return the signer of the configured account. Raises SafetyRefusal, and never shows the key."""
        raise NotImplementedError

    def raw_decoder(self, instruments: Sequence[InstrumentListed]) -> RawDecoder:
        """Return a decoder of recorded messages about these instruments."""
        raise NotImplementedError

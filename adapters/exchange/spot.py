"""What the protocols of public spot markets share: listings quoted in USD, numbered trades, one public root.

Owns the trades of a pair with ids that count up by one, and how requests and connections are admitted. Market
data only. The base of a venue's protocol, which adds its messages.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from typing import Any, ClassVar, Final, NamedTuple

import msgspec

from adapters.exchange.instruments import InstrumentMarket
from adapters.exchange.market import InstrumentProfile
from adapters.exchange.protocol import Answer, Request, Scope, VenueProtocol
from engine.clock import iso_text
from engine.events import InstrumentListed, MarketRules, Trade
from engine.venue import Rules

__all__ = ["Numbered", "SpotMarket", "SpotProtocol", "object_of", "time_text"]

_KEPT: Final = 10_000
_SIZE_SCALE: Final = 8


class Numbered(NamedTuple):
    """A trade and its id."""

    number: int
    trade: Trade


class SpotMarket:
    """One pair by its name at the venue. `trades` are the newest, oldest first."""

    def __init__(self, market: InstrumentMarket, name: str) -> None:
        self.market = market
        self.name = name
        self.price_scale = market.listed.price_scale
        self.size_scale = market.listed.size_scale
        self.trades: deque[Numbered] = deque(maxlen=_KEPT)
        self._count = 0

    def add(self, trade: Trade) -> Numbered:
        """Number a trade of the tape and keep it."""
        self._count += 1
        numbered = Numbered(self._count, trade)
        self.trades.append(numbered)
        return numbered


class SpotProtocol(VenueProtocol):
    """See `VenueProtocol`. `public` is the root of the paths that are answered."""

    venue: ClassVar[str]
    public: ClassVar[str]
    rules: ClassVar[Rules]
    spot: ClassVar[MarketRules]

    @staticmethod
    @abstractmethod
    def name_of(name: str) -> str:
        """Return the venue's name of an instrument of the tape."""

    @classmethod
    def lists(cls, profile: InstrumentProfile, number: int, recv_ns: int) -> InstrumentListed:
        """See `VenueProtocol.lists`: quoted in USD, sizes with eight decimals."""
        places = profile.price_places
        return InstrumentListed(
            recv_ns,
            number,
            cls.venue,
            cls.name_of(profile.name),
            6 - profile.size_scale if places is None else places,
            _SIZE_SCALE,
            price_step=profile.price_step,
            kind="spot",
            silence=cls.rules.silence,
            ids=cls.rules.ids,
            rules=msgspec.structs.replace(cls.spot, base=profile.name, quote="USD"),
        )

    def scope(self, request: Request) -> Scope | Answer:
        """See `VenueProtocol.scope`."""
        if not request.path.startswith(self.public) or request.method != "GET":
            return Answer(404, "Not Found", type="text/plain")
        return "info"

    def opens(self, path: str, query: str) -> Answer | None:
        """See `VenueProtocol.opens`."""
        return None if path == self.ws_path else Answer(404)


def object_of(text: str) -> dict[str, Any] | None:
    """Return the object that a message of a client is, None if it is something else."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def time_text(ns: int) -> str:
    """Return a time with microseconds."""
    return iso_text(ns)[:26] + "Z"

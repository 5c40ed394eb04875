"""The port to protocols: what a venue's protocol gives the local exchange, and what it gets from it.

The server owns sockets, clock, tape, faults and time; the protocol turns requests, messages and the events of
the tape into answers and frames. The server calls one method at a time and no method waits, so each call is
atomic. What a client sends must never raise. Implemented in `adapters/NAME/sandbox/`; a venue names its
protocol in `Venue.sandbox`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol

import msgspec

from adapters.exchange.faults import Faults
from adapters.exchange.instruments import Market, Played
from adapters.exchange.market import PROFILES, InstrumentProfile
from adapters.exchange.options import SandboxOptions
from engine.errors import UsageError
from engine.events import InstrumentListed

__all__ = ["Answer", "Client", "Request", "Scope", "VenueProtocol"]

Scope = Literal["info", "exchange"]
"""The scope of the faults of a request: market data and the like, or orders and accounts."""


class Request(msgspec.Struct, frozen=True):
    """An HTTP request. `query` is as it was sent, names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class Answer(msgspec.Struct, frozen=True):
    """The answer to an HTTP request."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = {}
    type: str = "application/json"


class Client(Protocol):
    """A connected websocket client; `path` and `query` are those it was opened with."""

    @property
    def path(self) -> str: ...
    @property
    def query(self) -> str: ...

    def send(self, text: str) -> None:
        """Queue a frame. A full queue ends the connection."""

    def abort(self) -> None:
        """End the connection without a close frame."""


class Server(Protocol):
    """What a protocol may use of the server."""

    faults: Faults

    @property
    def reached_ns(self) -> int:
        """All events of the tape until then have been played."""

    @property
    def arrived_ns(self) -> int:
        """The time at which the message that is processed arrived; the tape may be behind it."""

    def catch_up(self) -> int:
        """Play due events, so that they are reported before an answer; return the time in ms."""

    def restart_for(self, ms: int) -> None:
        """Cut all connections, and for so long every new one."""


class VenueProtocol(ABC):
    """One venue's protocol.

    `ws_path`: the path of the websocket address that is announced. `idle_s`: a connection is cut when nothing
    was sent to it for so long, in real seconds (None: never). `sizes`: for the fault `damage`, a regular
    expression of the first size in a frame, and what it becomes with a size of 0.
    """

    ws_path: ClassVar[str] = ""
    sizes: ClassVar[tuple[str, str] | None] = None
    idle_s: float | None = None

    def __init__(self, market: Market, options: SandboxOptions) -> None:
        self.market = market
        self.options = options
        self.server: Server

    def attached(self, server: Server) -> None:
        """Take note of the server, before anything is played or asked."""
        self.server = server

    # What is known without an exchange.

    @classmethod
    @abstractmethod
    def lists(cls, profile: InstrumentProfile, number: int, recv_ns: int) -> InstrumentListed:
        """Return how the venue lists an instrument of the synthetic market."""

    @classmethod
    def check(cls, options: SandboxOptions) -> None:
        """Raise UsageError for options that the protocol cannot serve. One without orders has no accounts."""
        if options.accounts or options.volumes:
            raise UsageError(
                f"the sandbox of {cls.venue_name()} has market data only; remove --account and --volume"
            )

    @classmethod
    def venue_name(cls) -> str:
        """Return the name under which instruments are listed."""
        return cls.lists(next(iter(PROFILES.values())), 0, 0).venue

    # Requests.

    def scope(self, request: Request) -> Scope | Answer:
        """Return the scope of a request's faults, or the answer to what is no request at all."""
        return "info"

    def admit(self, request: Request) -> Answer | None:
        """Count a request against the venue's limits; return the answer to one beyond them."""
        return None

    def too_many(self, after_s: int) -> Answer:
        """Return the answer that says "too many requests", for `after_s` seconds (0: it does not say)."""
        return Answer(429, headers={"retry-after": str(after_s)} if after_s else {}, type="text/plain")

    @abstractmethod
    def answer(self, request: Request, now_ms: int) -> Answer:
        """Answer a request. The tape is played up to `now_ms`."""

    # Connections.

    def opens(self, path: str, query: str) -> Answer | None:
        """Return the answer that refuses a websocket, None to open it."""
        return None

    def connected(self, client: Client) -> None:  # noqa: B027
        """Take note of a new connection."""

    @abstractmethod
    def message(self, client: Client, text: str, now_ms: int) -> None:
        """Process a message. The tape is played up to `now_ms`."""

    @abstractmethod
    def disconnected(self, client: Client) -> None:
        """Forget a connection."""

    @abstractmethod
    def channel(self, text: str) -> tuple[str, Literal["market", "user", ""]]:
        """Return the channel of a frame and its scope: "" for answers, which faults never hit."""

    # The tape.

    def play(self, event: Played) -> None:
        """Process an event of the tape, which is at the exchange's time."""
        self.market.add(event)

    @abstractmethod
    def flush(self) -> None:
        """Send what the events since the last flush have changed."""

    def tick(self, now_ns: int) -> int:
        """Send the periodic frames that are due; return when the next is due (ns).

        All events before `now_ns` have been played.
        """
        return now_ns + 1_000_000_000

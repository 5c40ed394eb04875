"""The conditions for openings that do not depend on the order: halts, feeds, the account, and freshness.

Owns the state of the gates (`Conditions`, the manager's attribute `gate`) and the rule by which a price is
fresh. Called by `gates`, `halts`, `limits` and `losses`.

A price is fresh while its feed is up, nothing of its market was missed since, the feed has proved that it has
delivered what was sent before the clock last jumped, and its age is at most
`[risk] max_price_age_ms`: the time since the last proof that the feed is alive, plus the time that the price
took from the venue, plus the time that it waited here (`EngineLagging`). If the feed proves up to which time
it has delivered everything (`FeedHeard.proved_ns`), a price is no older than that; and no newer, while the
feed is late (`FeedLagging`). That time is the venue's, so the difference to its own clock counts. Ages are
wall time: on a venue whose clock runs faster they may be so many times as long. A feed that does not prove
its life (`FeedUp.heard_ms` is 0) has no age but that of the engine's lag, and data without events of a feed,
such as an imported file, has none either. A price of an earlier session is never fresh: a new one has to come
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from engine.actors.base import State
from engine.actors.orders.state import Prices
from engine.clock import SECOND_NS
from engine.events import (
    AccountRead,
    ClockAdopted,
    ClockChecked,
    ClockJumped,
    EngineLagging,
    Event,
    FeedDamaged,
    FeedDown,
    FeedGap,
    FeedHeard,
    FeedLagging,
    FeedPolling,
    FeedUp,
    GatewayDown,
    InstrumentListed,
)
from engine.instruments import of_feed

__all__ = ["SKEW_NS_MAX", "UNKNOWN_MAX", "UNREAD", "Conditions", "fresh_until", "not_fresh", "note"]

UNKNOWN_MAX: Final = 3
"""With more Unknown orders than this nothing is opened."""

SKEW_NS_MAX: Final = SECOND_NS
"""Largest difference to the venue's clock. Beyond it, expiries and nonces are not reliable."""

UNREAD: Final = "the account has not been read yet"

UNREAD_SINCE: Final = "the account has not been read since the clock jumped"

_MS: Final = 1_000_000
_OF_FEEDS: Final = (FeedHeard, FeedUp, FeedDown, FeedPolling, FeedLagging)


class Conditions(State):
    """State of the gates.

    `halted` is the reason of a halt, "" for none; `stop_ns` when an orderly stop began, 0 for none. `markets`
    are halted markets and `quarantined` failed strategies, each with the reason. `paused` are the names of
    paused strategies; "" stands for all.

    `feeds` are the feeds of this session, each with the reason it is down, "" if it is up. `heard_ms` is how
    often a feed proves that it is alive (0: it does not), `heard_ns` when it last did. `doubted` are
    the markets in which data may have been missed since the last price. `speed`: seconds of the venue per
    real second. `lag_ms` is how late the engine is in real time. `proved_ns` is the venue's time up to which
    the feed has delivered everything, 0 if it does not say. `late` are the feeds that are late, and by how
    many milliseconds.

    `jumped_ns` is the end of the last jump of the clock; `unproved`: what a feed delivers may still be from
    before.

    `unreconciled` is why the account is not known, "" if it is. `skew_ns` is the difference to the venue's
    clock. `unknown` are the ids of the orders whose fate is not known.

    `failed` are strategies of this session that failed, `stopped` those that an operator stopped; `disarmed`
    is why no order leaves, "" if orders do.

    `venues`: with instruments of several venues, what the feed of each has proved, by its name; `heard_ms`,
    `heard_ns`, `proved_ns` and `unproved` are then not used. `clocks` are the differences to the clocks of
    this session by the names they were reported with; a session with one venue reports none by its name, so
    `skew_ns`, the last one reported, is then that of its venue.

    `accounts`: where a session has accounts at several venues, what is known of each; `unreconciled`,
    `skew_ns`, `unknown` and `commands_ns` are then not used.

    `approvals_ns` and `commands_ns` are the times of the last minute's approvals and of all commands.
    `cooling_ns` is until when a strategy opens nothing after a stop.
    """

    class Heard(State):
        """What the feed of one of several venues has proved; nested, so that stored states find it."""

        heard_ms: int = 0
        heard_ns: int = 0
        proved_ns: int = 0
        unproved: bool = False

    class Account(State):
        """What is known of one of several accounts: see the fields of these names; nested like `Heard`."""

        unreconciled: str = UNREAD
        skew_ns: int = 0
        unknown: dict[str, None] = msgspec.field(default_factory=dict)
        commands_ns: list[int] = msgspec.field(default_factory=list)

    halted: str = ""
    stop_ns: int = 0
    markets: dict[int, str] = msgspec.field(default_factory=dict)
    quarantined: dict[str, str] = msgspec.field(default_factory=dict)
    paused: dict[str, None] = msgspec.field(default_factory=dict)
    feeds: dict[str, str] = msgspec.field(default_factory=dict)
    heard_ms: int = 0
    heard_ns: int = 0
    doubted: dict[int, None] = msgspec.field(default_factory=dict)
    speed: float = 1.0
    unreconciled: str = UNREAD
    skew_ns: int = 0
    unknown: dict[str, None] = msgspec.field(default_factory=dict)
    approvals_ns: list[int] = msgspec.field(default_factory=list)
    commands_ns: list[int] = msgspec.field(default_factory=list)
    cooling_ns: dict[str, int] = msgspec.field(default_factory=dict)
    jumped_ns: int = 0
    unproved: bool = False
    lag_ms: int = 0
    proved_ns: int = 0
    late: dict[str, int] = msgspec.field(default_factory=dict)
    failed: dict[str, None] = msgspec.field(default_factory=dict)
    stopped: dict[str, None] = msgspec.field(default_factory=dict)
    disarmed: str = ""
    venues: dict[str, Conditions.Heard] = msgspec.field(default_factory=dict)
    accounts: dict[str, Conditions.Account] = msgspec.field(default_factory=dict)
    clocks: dict[str, int] = msgspec.field(default_factory=dict)

    def account(self, venue: str) -> Conditions | Conditions.Account:
        """Return what is known of the account at a venue, if it is one of several; else of the only one."""
        return self.accounts.get(venue, self)

    def skew_of(self, venue: str) -> int:
        """Return the clock of a venue minus the engine's; 0 if only those of others are known."""
        if venue in self.accounts:
            return self.accounts[venue].skew_ns
        by_venue = not self.venues.keys().isdisjoint(self.clocks)
        return self.clocks.get(venue, 0 if by_venue else self.skew_ns)

    def begin_accounts(self, names: tuple[str, ...]) -> None:
        """Begin a session with these accounts, which are not read yet; () has one account without a name."""
        known = self.accounts
        self.accounts = {name: known.get(name, Conditions.Account()) for name in names}
        self.unreconciled = UNREAD
        for one in self.accounts.values():
            one.unreconciled = UNREAD


def note(
    conditions: Conditions,
    event: Event,
    markets: dict[int, Prices],
    instruments: Mapping[int, InstrumentListed],
) -> None:
    """Apply an event of a feed, of the account or of the clock. `markets` are those with a known price."""
    if isinstance(event, _OF_FEEDS) and of_feed(event.feed, instruments) is not None:
        one = conditions.venues.setdefault(event.feed, Conditions.Heard())
        if isinstance(event, FeedHeard | FeedUp):
            _note_one(conditions, one, event)
            return
    if isinstance(event, FeedHeard):
        conditions.heard_ns = max(conditions.heard_ns, event.heard_ns)
        conditions.proved_ns = event.proved_ns
        proved_ns = event.proved_ns - conditions.skew_ns if event.proved_ns else event.heard_ns
        if proved_ns >= conditions.jumped_ns:
            conditions.unproved = False
    elif isinstance(event, FeedUp):
        conditions.feeds[event.feed] = ""
        conditions.heard_ms = event.heard_ms
        conditions.heard_ns = event.recv_ns
        conditions.proved_ns = 0
        conditions.unproved = False
    elif isinstance(event, FeedDown):
        conditions.feeds[event.feed] = f"{event.feed} is down: {event.reason}"
        numbers = of_feed(event.feed, instruments)
        conditions.doubted |= dict.fromkeys(
            number for number in markets if numbers is None or number in numbers
        )
    elif isinstance(event, FeedDamaged):
        if event.instrument in markets:
            conditions.doubted[event.instrument] = None
    elif isinstance(event, FeedPolling):
        if event.active:
            conditions.feeds[event.feed] = f"{event.feed} is down: {event.reason}"
    elif isinstance(event, FeedGap):
        if event.closed:
            conditions.doubted.pop(event.instrument, None)
        else:
            conditions.doubted[event.instrument] = None
    elif isinstance(event, GatewayDown):
        account = conditions.account(event.venue)
        account.unreconciled = f"the account's stream is lost: {event.reason}"
    elif isinstance(event, AccountRead):
        account = conditions.account(event.venue)
        # An answer that lay in a socket during the jump is older than the jump.
        if event.venue_ns - account.skew_ns >= conditions.jumped_ns - SKEW_NS_MAX:
            account.unreconciled = ""
    elif isinstance(event, ClockChecked):
        conditions.account(event.venue).skew_ns = event.offset_ns
        if event.venue not in conditions.accounts:
            # By name without asking what is listed: a new journal's instruments are recorded after this.
            conditions.clocks[event.venue] = event.offset_ns
    elif isinstance(event, ClockJumped):
        if event.ahead:
            conditions.jumped_ns = event.to_ns
            accounts: list[Conditions | Conditions.Account] = [conditions, *conditions.accounts.values()]
            for account in accounts:
                if event.cause == "stepped":  # our clock moved against the venue's; measured again later
                    account.skew_ns -= event.to_ns - event.from_ns
                account.unreconciled = account.unreconciled or UNREAD_SINCE
            if event.cause == "stepped":
                for name in conditions.clocks:
                    conditions.clocks[name] -= event.to_ns - event.from_ns
            conditions.unproved = True
            for one in conditions.venues.values():
                one.unproved = True
            conditions.doubted |= dict.fromkeys(markets)
    elif isinstance(event, FeedLagging):
        conditions.late.pop(event.feed, None)
        if event.lag_ms:
            conditions.late[event.feed] = event.lag_ms
    elif isinstance(event, EngineLagging):
        conditions.lag_ms = event.lag_ms
    elif isinstance(event, ClockAdopted):
        conditions.speed = max(event.speed, 1.0)


def _note_one(conditions: Conditions, one: Conditions.Heard, event: FeedHeard | FeedUp) -> None:
    """Apply what the feed of one of several venues proves."""
    if isinstance(event, FeedUp):
        conditions.feeds[event.feed] = ""
        one.heard_ms, one.heard_ns, one.proved_ns = event.heard_ms, event.recv_ns, 0
        one.unproved = False
        return
    one.heard_ns = max(one.heard_ns, event.heard_ns)
    one.proved_ns = event.proved_ns
    skew_ns = conditions.skew_of(event.feed)
    if (event.proved_ns - skew_ns if event.proved_ns else event.heard_ns) >= conditions.jumped_ns:
        one.unproved = False


def not_fresh(
    conditions: Conditions, listed: InstrumentListed, prices: Prices, at_ns: int, max_age_ms: int
) -> str | None:
    """Return why the price of a market is not fresh, or None if it is."""
    instrument, venue = listed.instrument, listed.venue
    if conditions.lag_ms > max_age_ms:
        return f"the engine is {conditions.lag_ms} ms late, more than {max_age_ms}"
    for feed, lag_ms in conditions.late.items():
        if lag_ms > max_age_ms and not _is_another(conditions, feed, venue):
            return f"{feed} is {lag_ms} ms late, more than {max_age_ms}"
    for feed, why in conditions.feeds.items():
        if why and not _is_another(conditions, feed, venue):
            return why
    if instrument in conditions.doubted:
        return "no price since data was missed"
    if not conditions.feeds or not _heard(conditions, venue).heard_ms:
        return None
    if _heard(conditions, venue).unproved:
        return "the feed has not caught up since the clock jumped"
    age_ms = _age_ms(conditions, venue, prices, at_ns)
    if age_ms > max_age_ms:
        return f"the newest price is {age_ms} ms old, more than {max_age_ms}"
    return None


def fresh_until(conditions: Conditions, venue: str, prices: Prices, at_ns: int, max_age_ms: int) -> int:
    """Return the engine's time until which a price that is fresh stays so; 0 if it has no age."""
    if not conditions.feeds or not _heard(conditions, venue).heard_ms:
        return 0
    left_ms = max_age_ms - _age_ms(conditions, venue, prices, at_ns)
    return at_ns + int(left_ms * _MS * conditions.speed)


def _heard(conditions: Conditions, venue: str) -> Conditions.Heard | Conditions:
    """Return what the feed of a venue has proved, which is that of the only feed without several venues."""
    return conditions.venues.get(venue, conditions)


def _is_another(conditions: Conditions, feed: str, venue: str) -> bool:
    """Return whether a feed is that of another venue, so that it says nothing about this one."""
    return feed != venue and feed in conditions.venues


def _age_ms(conditions: Conditions, venue: str, prices: Prices, at_ns: int) -> int:
    """Return how old a price is in real time: since the last proof, on its way, and in this engine."""
    heard = _heard(conditions, venue)
    silent_ns = at_ns - max(heard.heard_ns, prices.seen_ns)
    lag_ns = max(0, prices.seen_ns - prices.venue_ns)
    age_ns = silent_ns + lag_ns
    if heard.proved_ns:
        # What was sent again after a reconnect bears the time of the last change; it is as new as the proof.
        proof_ns = max(0, at_ns - (heard.proved_ns - conditions.skew_of(venue)))
        late = any(not _is_another(conditions, feed, venue) for feed in conditions.late)
        age_ns = max(age_ns, proof_ns) if late else min(age_ns, proof_ns)
    return round(age_ns / conditions.speed) // _MS + conditions.lag_ms

"""What execution knows of each account: the venue's clock, leverages, the dead man's switch, lost exits.

Owns `SetLeverage` and `ScheduleCancel`. A session has one account, without a name, or one at each venue that
is armed by its name; then the clock, the reading and the switch of one venue say nothing about another.
Base class of `Execution`, which is its only user.
"""

from __future__ import annotations

from typing import Final

from engine.actors.base import Actor, Emit, SetTimer, State, handles
from engine.actors.order import Order
from engine.clock import SECOND_NS
from engine.config import AccountConfig, VenueConfig
from engine.events import (
    AccountRead,
    ClockChecked,
    OperatorCommand,
    ScheduleAnswered,
    ScheduleCancel,
    SetLeverage,
)
from engine.events.terms import CLOSE
from engine.instruments import entry_of, is_of

__all__ = ["DEAD_MAN", "AtVenues", "timer_of"]

DEAD_MAN: Final = "dead man's switch"
"""The key of the switch's timer; the venue follows where there are several accounts."""


class AtVenue(State):
    """What is known of one of several accounts; the attributes of `AtVenues` are those of the only one."""

    leverage_asked: bool = False
    clock_ns: int = 0
    dead_man: bool = False
    dead_man_set: bool = False
    reconciled_ns: int = 0
    exits_missed: int = 0


class AtVenues(Actor):
    """State: the live orders; the venue's clock minus ours, the dead man's switch, `reconciled_ns`, the
    venue's time up to which the account is known, and how many exits in a row did not reach the venue's book:
    each doubles the time that the next one has to arrive, so that a slow way does not keep every exit from
    arriving. The same by venue where there are several accounts."""

    WIRING = Actor.WIRING | {"_venue", "_account", "_accounts"}
    _orders: dict[str, Order]
    at: dict[str, AtVenue]

    def __init__(self, venue: VenueConfig | None, account: AccountConfig, accounts: tuple[str, ...]) -> None:
        super().__init__("execution")
        self._venue = venue
        self._account = account
        self._accounts = accounts
        self._orders = {}
        self._leverage_asked = False
        self._clock_ns = 0
        self._dead_man = False
        self._dead_man_set = False
        self._exits_missed = 0
        self.reconciled_ns = 0
        self.at = {}

    def begin_accounts(self, venue: VenueConfig) -> None:
        """Begin a session with real orders: no account has been read."""
        self._leverage_asked = False
        self._dead_man = bool(venue.dead_man_s)
        self._dead_man_set = False
        for name in self._accounts:
            one = self.at.setdefault(name, AtVenue())
            one.leverage_asked = one.dead_man_set = False
            one.dead_man = self._dead_man

    def clock_ns(self, instrument: int) -> int:
        """Return the clock of the venue of an instrument minus ours."""
        one = self.at.get(self.instruments[instrument].venue)
        return self._clock_ns if one is None else one.clock_ns

    def known_ns(self, venue: str) -> int:
        """Return the venue's time up to which its account is known; "" is the only account."""
        one = self.at.get(venue)
        return self.reconciled_ns if one is None else one.reconciled_ns

    def exits_missed(self, instrument: int) -> int:
        """Return how many exits in a row did not reach the book of the venue of an instrument."""
        one = self.at.get(self.instruments[instrument].venue)
        return self._exits_missed if one is None else one.exits_missed

    def note_exit(self, instrument: int, *, missed: bool) -> None:
        """Note whether an exit has reached the venue's book."""
        one = self.at.get(self.instruments[instrument].venue)
        if one is None:
            self._exits_missed = self._exits_missed + 1 if missed else 0
        else:
            one.exits_missed = one.exits_missed + 1 if missed else 0

    @handles(ClockChecked)
    def note_clock(self, checked: ClockChecked, emit: Emit) -> None:
        """Note how far the venue's clock is from ours."""
        one = self.at.get(checked.venue)
        if one is None:
            self._clock_ns = checked.offset_ns
        else:
            one.clock_ns = checked.offset_ns

    @handles(AccountRead)
    def note_account(self, read: AccountRead, emit: Emit) -> None:
        """Set leverages and start the dead man's switch, once a session, after the account was read."""
        one = self.at.get(read.venue)
        if one is None:
            self.reconciled_ns = read.venue_ns
            asked, self._leverage_asked = self._leverage_asked, True
        else:
            one.reconciled_ns = read.venue_ns
            asked, one.leverage_asked = one.leverage_asked, True
        if self._venue is None or asked:
            return
        cross = self._account.margin == "cross"
        for number, listed in sorted(self.instruments.items()):
            leverage = entry_of(self._account.leverage, listed, 0)
            if is_of(read.venue, listed) and listed.rules.on_margin and (leverage or not cross):
                emit(SetLeverage(read.recv_ns, number, leverage or listed.rules.leverage, cross))
        self.postpone_dead_man(read.recv_ns, read.venue, emit)

    # The dead man's switch.

    @handles(ScheduleAnswered)
    def note_schedule(self, answer: ScheduleAnswered, emit: Emit) -> None:
        """Stop using the dead man's switch in this session if the venue refuses it."""
        one = self.at.get(answer.venue)
        if answer.accepted:
            return
        if one is None:
            self._dead_man = self._dead_man_set = False
        else:
            one.dead_man = one.dead_man_set = False

    @handles(OperatorCommand)
    def stop_dead_man(self, command: OperatorCommand, emit: Emit) -> None:
        """Turn off the dead man's switch on a graceful stop: it would cancel orders of other programs."""
        if command.command == "stop":
            self._dead_man = False
            for venue in self._names():
                if venue:
                    self.at[venue].dead_man = False
                self._withdraw(command.recv_ns, venue, emit)

    def postpone_dead_man(self, at_ns: int, venue: str, emit: Emit) -> None:
        """Set the switch of a venue again, unless it would cancel a stop that protects a position there."""
        one = self.at.get(venue)
        if self._venue is None or not (self._dead_man if one is None else one.dead_man):
            return
        span_ns = self._venue.dead_man_s * SECOND_NS
        emit(timer_of(at_ns + span_ns // 3, f"{DEAD_MAN} {venue}".strip()))
        if not self._protects(venue):
            self._mark(venue, is_set=True)
            clock_ns = self._clock_ns if one is None else one.clock_ns
            emit(ScheduleCancel(at_ns, at_ns + clock_ns + span_ns, venue))

    def suspend_dead_man(self, at_ns: int, emit: Emit) -> None:
        """Withdraw the switch while a stop at the venue protects a position: it would cancel that too."""
        for venue in self._names():
            if self._is_set(venue) and self._protects(venue):
                self._withdraw(at_ns, venue, emit)

    def _withdraw(self, at_ns: int, venue: str, emit: Emit) -> None:
        if self._is_set(venue):
            self._mark(venue, is_set=False)
            emit(ScheduleCancel(at_ns, 0, venue))

    def _names(self) -> tuple[str, ...]:
        return self._accounts or ("",)

    def _is_set(self, venue: str) -> bool:
        one = self.at.get(venue)
        return self._dead_man_set if one is None else one.dead_man_set

    def _mark(self, venue: str, *, is_set: bool) -> None:
        one = self.at.get(venue)
        if one is None:
            self._dead_man_set = is_set
        else:
            one.dead_man_set = is_set

    def _protects(self, venue: str) -> bool:
        """Return whether a live stop protects a position; one attached to a live order does not yet."""
        return any(
            order.trigger
            and order.role == CLOSE
            and order.parent not in self._orders
            and is_of(venue, self.instruments[order.instrument])
            for order in self._orders.values()
        )


def timer_of(due_ns: int, key: str) -> SetTimer:
    """Return a timer of execution."""
    return SetTimer("execution", due_ns, key)

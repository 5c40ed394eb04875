"""What the venue says the account is worth, against the ledger: start, differences, transfers.

Owns the start of a real account and its adjustments. The account begins with the venue's equity less the
profit of its open positions, at the first reading. Later readings are compared with the ledger's cash of the
same time, as it would be with one position per market; a difference of 0.01 or more moves equity, but is no
profit. A transfer, a payment or a fill that is reported after a reading that had it already takes the
difference back. While a payment of funding is due nothing is compared. Of several accounts each is compared
alone, in its own currency: `venue`. Called by `Books`, which holds the state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from engine.actors.base import Emit
from engine.actors.books.equity import gained_since, netted, valued
from engine.actors.books.readings import MS
from engine.actors.books.scaling import at_scale
from engine.clock import SECOND_NS
from engine.events import AccountRead, QueryAccount, TransferSeen
from engine.instruments import is_of
from engine.values import power_of_ten

if TYPE_CHECKING:
    from engine.actors.books.actor import Books

__all__ = ["NOTHING_BEFORE", "Before", "Settling"]

CENT_SCALE: Final = 2
"""A difference below one unit at this scale is the venue's rounding."""

PAYMENT_NS: Final = 30 * SECOND_NS
"""How long after its time a payment of funding may be in the account's value and not be reported yet."""

EFFECTS_MAX: Final = 512
"""Upper bound on the movements of cash that are remembered with their times."""


class Before(NamedTuple):
    """The cash at the time of the last difference, and all cash but profit, before something is booked."""

    settled: int
    beside_profit: int


NOTHING_BEFORE: Final = Before(0, 0)


class Settling:
    """See the module."""

    def __init__(self, books: Books) -> None:
        self.b = books

    def cash(self, venue: str) -> int:
        """Return the account's cash at the venue without the start: what bookings and adjustments have moved.

        Where strategies hold opposite positions, the venue has realized what closes one by the other.
        """
        return self.b.purse(venue).adjustments + valued(self.b, venue).settled + netted(self.b, venue)

    def before(self, venue: str) -> Before:
        """Return what `note` compares with: called before something is booked."""
        sums, purse = valued(self.b, venue), self.b.purse(venue)
        settled = self._cash_at(purse.settled_ns, venue)
        return Before(settled, purse.adjustments + sums.settled - sums.realized)

    def _cash_at(self, venue_ns: int, venue: str) -> int:
        """Return the cash as it was at a time of the venue."""
        later = sum(amount for at_ns, amount in self.b.purse(venue).effects if at_ns > venue_ns)
        return self.cash(venue) - later - gained_since(self.b, venue_ns, venue)

    def note(
        self,
        at_ns: int,
        venue_ns: int,
        before: Before,
        why: str,
        venue: str,
        emit: Emit,
        *,
        instead_ns: int = 0,
    ) -> None:
        """Remember a movement of cash; take it back if equity has had it already.

        Profit is not remembered here: a late report can move it to another execution (`Net.recent`).

        Equity has what is older than the reading that it follows, and a fill in whose place something was
        booked for a reading up to that one (`instead_ns`). In its very millisecond all else is later.
        """
        b, purse = self.b, self.b.purse(venue)
        if 0 < instead_ns <= purse.settled_ns or venue_ns // MS < purse.settled_ns // MS:
            amount = self._cash_at(purse.settled_ns, venue) - before.settled
            if amount:
                b.adjust(at_ns, -amount, f"already in the account's value: {why}", emit, venue)
            return
        purse.effects.append((venue_ns, self.before(venue).beside_profit - before.beside_profit))
        del purse.effects[:-EFFECTS_MAX]

    def transfer(self, seen: TransferSeen, emit: Emit) -> None:
        """Book a transfer once: it moves equity, and is no profit."""
        b, venue = self.b, seen.venue
        key = f"{venue} {seen.transfer_id}" if venue else seen.transfer_id
        if not b.executions.first_of(f"transfer {key}", b.kept):
            return
        before = self.before(venue)
        amount = at_scale(int(seen.amount), seen.scale, b.scale)
        if seen.asset in ("", b.currency_of(venue)):
            b.adjust(seen.recv_ns, amount, seen.kind, emit, venue)
        else:
            b.other(seen.asset, venue).moved += amount
        self.note(seen.recv_ns, seen.venue_ns, before, seen.kind, venue, emit)
        b.mark(seen.recv_ns, emit)

    def read(self, read: AccountRead, emit: Emit) -> None:
        """Begin the account at its first reading; compare the later ones."""
        b, venue = self.b, read.venue
        if any(is_of(venue, b.instruments[number]) for number in b.doubts):
            emit(QueryAccount(read.recv_ns, "a fill and a position have the same time", venue))
            return
        purse = b.purse(venue)
        purse.starting = False
        unrealized = self._unrealized(read)
        cash = self._cash_at(read.venue_ns, venue)
        equity = at_scale(int(read.equity), read.scale, b.scale)
        if purse.start is None:
            purse.start = equity - (unrealized or 0) - cash
            purse.settled_ns = read.venue_ns
        elif unrealized is not None and not self._awaits_payment(read.venue_ns, venue):
            differs = equity - unrealized - purse.start - cash
            if abs(differs) >= power_of_ten(b.scale - CENT_SCALE):
                purse.settled_ns = read.venue_ns
                b.adjust(read.recv_ns, differs, "unexplained", emit, venue)
        b.mark(read.recv_ns, emit)

    def _awaits_payment(self, venue_ns: int, venue: str) -> bool:
        """Return whether the account was about to be paid funding that is not reported yet."""
        b = self.b
        for number, listed in b.instruments.items():
            span_ns = listed.rules.funding_s * SECOND_NS if is_of(venue, listed) else 0
            due_ns = venue_ns - venue_ns % span_ns if span_ns else 0
            due = venue_ns < due_ns + PAYMENT_NS and b.funded_ns.get(f"{number} ", 0) < due_ns
            if due and any(size for _, size in b.readings.sizes_at(number, due_ns)):
                return True
        return False

    def _unrealized(self, read: AccountRead) -> int | None:
        """Return the profit of the venue's positions that its equity includes; None if it is not known."""
        b, venue = self.b, read.venue
        if read.unrealized is not None:
            return at_scale(int(read.unrealized), read.scale, b.scale)
        if b.purse(venue).start is None:
            return valued(b, venue).unrealized
        # A value that includes what fees left of a step, once that is one, is not compared either.
        held = any(
            b.account(number) or b.shown.get(number)
            for number in b.books
            if is_of(venue, b.instruments[number])
        )
        return None if held else 0

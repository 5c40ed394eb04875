"""What the venue says the account is worth, against the ledger: start, differences, transfers.

Owns the start of a real account and its adjustments. The account begins with the venue's equity less the
profit of its open positions, at the first reading. Later readings are compared with the ledger's cash of the
same time, as it would be with one position per market; a difference of 0.01 or more moves equity, but is no
profit. A transfer, a payment or a fill that is reported after a reading that had it already takes the
difference back. While a payment of funding is due nothing is compared. Called by `Books`, which holds the
state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from engine.actors.base import Emit
from engine.actors.books.equity import gained_since, netted, valued
from engine.actors.books.readings import MS
from engine.actors.books.scaling import at_scale
from engine.clock import SECOND_NS
from engine.events import AccountRead, QueryAccount, TransferSeen
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

    def cash(self) -> int:
        """Return the account's cash at the venue without the start: what bookings and adjustments have moved.

        Where strategies hold opposite positions, the venue has realized what closes one by the other.
        """
        return self.b.adjustments + valued(self.b).settled + netted(self.b)

    def before(self) -> Before:
        """Return what `note` compares with: called before something is booked."""
        sums = valued(self.b)
        return Before(self._cash_at(self.b.settled_ns), self.b.adjustments + sums.settled - sums.realized)

    def _cash_at(self, venue_ns: int) -> int:
        """Return the cash as it was at a time of the venue."""
        later = sum(amount for at_ns, amount in self.b.effects if at_ns > venue_ns)
        return self.cash() - later - gained_since(self.b, venue_ns)

    def note(
        self, at_ns: int, venue_ns: int, before: Before, why: str, emit: Emit, *, instead_ns: int = 0
    ) -> None:
        """Remember a movement of cash; take it back if equity has had it already.

        Profit is not remembered here: a late report can move it to another execution (`Net.recent`).

        Equity has what is older than the reading that it follows, and a fill in whose place something was
        booked for a reading up to that one (`instead_ns`). In its very millisecond all else is later.
        """
        b = self.b
        if 0 < instead_ns <= b.settled_ns or venue_ns // MS < b.settled_ns // MS:
            amount = self._cash_at(b.settled_ns) - before.settled
            if amount:
                b.adjust(at_ns, -amount, f"already in the account's value: {why}", emit)
            return
        b.effects.append((venue_ns, self.before().beside_profit - before.beside_profit))
        del b.effects[:-EFFECTS_MAX]

    def transfer(self, seen: TransferSeen, emit: Emit) -> None:
        """Book a transfer once: it moves equity, and is no profit."""
        b = self.b
        if not b.executions.first_of(f"transfer {seen.transfer_id}", b.kept):
            return
        before = self.before()
        amount = at_scale(int(seen.amount), seen.scale, b.scale)
        if seen.asset in ("", b.currency):
            b.adjust(seen.recv_ns, amount, seen.kind, emit)
        else:
            b.other(seen.asset).moved += amount
        self.note(seen.recv_ns, seen.venue_ns, before, seen.kind, emit)
        b.mark(seen.recv_ns, emit)

    def read(self, read: AccountRead, emit: Emit) -> None:
        """Begin the account at its first reading; compare the later ones."""
        b = self.b
        if b.doubts:
            emit(QueryAccount(read.recv_ns, "a fill and a position have the same time"))
            return
        b.starting = False
        unrealized = self._unrealized(read)
        cash = self._cash_at(read.venue_ns)
        equity = at_scale(int(read.equity), read.scale, b.scale)
        if b.start is None:
            b.start = equity - (unrealized or 0) - cash
            b.settled_ns = read.venue_ns
        elif unrealized is not None and not self._awaits_payment(read.venue_ns):
            differs = equity - unrealized - b.start - cash
            if abs(differs) >= power_of_ten(b.scale - CENT_SCALE):
                b.settled_ns = read.venue_ns
                b.adjust(read.recv_ns, differs, "unexplained", emit)
        b.mark(read.recv_ns, emit)

    def _awaits_payment(self, venue_ns: int) -> bool:
        """Return whether the account was about to be paid funding that is not reported yet."""
        b = self.b
        for number, listed in b.instruments.items():
            span_ns = listed.rules.funding_s * SECOND_NS
            due_ns = venue_ns - venue_ns % span_ns if span_ns else 0
            due = venue_ns < due_ns + PAYMENT_NS and b.funded_ns.get(f"{number} ", 0) < due_ns
            if due and any(size for _, size in b.readings.sizes_at(number, due_ns)):
                return True
        return False

    def _unrealized(self, read: AccountRead) -> int | None:
        """Return the profit of the venue's positions that its equity includes; None if it is not known."""
        b = self.b
        if read.unrealized is not None:
            return at_scale(int(read.unrealized), read.scale, b.scale)
        if b.start is None:
            return valued(b).unrealized
        return None if any(b.account(instrument) for instrument in b.books) else 0

"""The books: the only judge of whether a fill is new, whose it is, and what it cost.

Owns `FillBooked`, `PositionChanged`, `BookAdjusted` and `EquityMarked`, and the `MarketHalted` of what the
engine did not do itself: a liquidation, an ADL, a fill of an order that is no longer remembered. Promises:
the account is the sum of the books after every event, books change by `FillBooked` only, no `FillBooked`
crosses 0, and money is exact (`ledger.py`). State follows from what is handled, never from what is emitted.

    OrderFilled -> new? -> whose (owners.py) or which books (allocation.py) -> FillBooked ... (booking.py)
                -> PositionChanged per book -> BookAdjusted if from outside -> EquityMarked
"""

from __future__ import annotations

from typing import Final

from engine.actors.base import Emit, RoutesChanged, handles
from engine.actors.books.allocation import allocate
from engine.actors.books.book import EXTERNAL, MANUAL, Book
from engine.actors.books.booking import Booking, Correction
from engine.actors.books.equity import valued
from engine.actors.books.funding import shared_payment
from engine.actors.books.ledger import Ledger, Other
from engine.actors.books.owners import KEPT_MIN, KEPT_NS, Executions, Owned, Owners
from engine.actors.books.purse import Purse
from engine.actors.books.readings import RECENT_MAX, Found, Readings
from engine.actors.books.scaling import at_scale, shifted
from engine.actors.books.settling import NOTHING_BEFORE, Settling
from engine.clock import SECOND_NS
from engine.config import MONEY_TEXT_SCALE, Config
from engine.events import (
    ENDED,
    AccountAdjusted,
    AccountRead,
    Event,
    FillBooked,
    FundingPaid,
    InstrumentListed,
    MarketHalted,
    ModifyOrder,
    OperatorCommand,
    OrderChanged,
    OrderFilled,
    PositionRead,
    SessionStarted,
    SubmitOrder,
    Trade,
    TransferSeen,
)
from engine.events.terms import CLOSE
from engine.values import InstrumentId, Size, Value, parse_scaled, rescale, wide

__all__ = ["Book", "Books", "Other", "Owned"]

_HALTED_AGAIN_NS: Final = 60 * SECOND_NS
"""A market that was halted this recently is not halted again for the same kind of reason."""


class Books(Ledger):
    """State: the ledger, whose orders are whose, the latest executions, the newest halts by market, the time
    of the newest funding payment by market, and what the attributes below say about a real account.

    `real`: the account is at a venue, and begins with the venue's value. Otherwise it begins with the
    configured cash. `watches`: every trade is followed; a strategy acts between bars, or orders are real.
    """

    WIRING = Ledger.WIRING | {
        *("real", "watches", "cash", "adopt", "traders", "readings", "settling", "accounts")
    }
    recent: dict[InstrumentId, list[tuple[int, str, Size]]]
    corrections: dict[InstrumentId, list[Correction]]
    found: dict[InstrumentId, Found]
    left: dict[InstrumentId, list[tuple[int, Value]]]
    shown: dict[InstrumentId, Size]

    def __init__(self, config: Config, *, real: bool = False, watches: bool = True) -> None:
        super().__init__(config)
        self.real = real
        self.accounts = config.named_accounts if real else ()
        self.executions_kept = RECENT_MAX if real else 0
        self.watches = watches or real or self.limited or bool(config.account.prices)
        self.cash = parse_scaled(config.account.cash, MONEY_TEXT_SCALE)
        self.configured = self.cash
        self.owners = Owners()
        self.executions = Executions()
        self.halts: dict[int, int] = {}
        self.funded_ns: dict[str, int] = {}
        self.adopt = config.venue.adopt
        self.traders = tuple((entry.title, entry.instruments) for entry in config.strategies)
        self.readings = Readings(self)
        self.settling = Settling(self)
        # Of a real account: what was booked when, and what its readings have shown.
        self.starting = True
        self.settled_ns = 0
        self.recent = {}
        self.effects: list[tuple[int, int]] = []
        self.compared: dict[int, None] = {}
        self.doubts: dict[int, int] = {}
        self.corrections = {}
        self.found = {}
        self.left = {}
        self.shown = {}

    def listens(self, event_type: type[Event]) -> bool:
        """Return whether events of a type are needed now: trades only if followed."""
        return event_type is not Trade or self.follows

    def keeps_newest(self, event_type: type[Event]) -> bool:
        """See `Actor.keeps_newest`. A loss limit is compared with each price."""
        return event_type is Trade and not self.limited

    @property
    def follows(self) -> bool:
        """Whether every trade is followed: always, or as long as an order is live."""
        return self.watches or bool(self.owners.live)

    def knows(self, client_order_id: str) -> bool:
        """Return whether an order was sent by this journal."""
        return self.owners.knows(client_order_id)

    def sent(self) -> list[str]:
        """Return the client ids of the orders that are remembered: live ones, and those that ended lately."""
        return [*self.owners.live, *self.owners.ended]

    def unvalued(self) -> list[str]:
        """Return the amounts, such as "-0.1 BNB", that equity leaves out since no price is known."""
        return [f"{amount} {asset}" for asset, amount in valued(self).unvalued]

    @handles(SessionStarted)
    def begin(self, started: SessionStarted, emit: Emit) -> None:
        """Begin a session. A paper account begins with the configured cash, and follows its changes."""
        self.owners.begin(started.session)
        self.fit_scale()
        self.starting = True
        if self.accounts and started.mode == "live":
            known = {name: purse for name, purse in self.purses.items() if purse.start is not None}
            self.purses = known | {name: known.get(name, Purse()) for name in self.accounts}
            for purse in self.purses.values():
                purse.starting = True
        if self.real or started.mode == "backfill":
            return
        if self.start is None:
            self.start = rescale(self.cash, MONEY_TEXT_SCALE, self.scale)
            self.configured = self.cash
        elif self.cash != self.configured:
            amount = rescale(self.cash - self.configured, MONEY_TEXT_SCALE, self.scale)
            self.configured = self.cash
            self.adjust(started.recv_ns, amount, "account.cash was changed", emit)
        self.mark(started.recv_ns, emit)

    def purse(self, venue: str) -> Purse | Books:
        """Return the money of the account at a venue; `self` has that of the only account."""
        return self.purses.get(venue, self)

    def adjust(self, at_ns: int, amount: int, reason: str, emit: Emit, venue: str = "") -> None:
        """Move equity by an amount that is no profit or loss."""
        self.purse(venue).adjustments += amount
        emit(AccountAdjusted(at_ns, self.scale, wide(amount), reason, venue))

    # Whose orders are.

    @handles(SubmitOrder)
    def note_order(self, order: SubmitOrder, emit: Emit) -> None:
        """Remember the owner of an order."""
        if not self.follows:
            emit(RoutesChanged())
        self.owners.submitted(order)

    @handles(ModifyOrder)
    def note_change(self, change: ModifyOrder, emit: Emit) -> None:
        """Note that the venue may give an order another number."""
        owned = self.owners.of(change.client_order_id) if self.real else None
        if owned is not None:
            owned.changed = True

    @handles(OrderChanged)
    def note_end(self, changed: OrderChanged, emit: Emit) -> None:
        """Remember the owner of an order that ended for as long as a late fill may come."""
        if changed.state in ENDED:
            self.owners.note_end(
                changed.client_order_id, changed.at_ns, kept=self.kept, kept_ns=KEPT_NS if self.real else 0
            )
            if not self.follows:
                emit(RoutesChanged())

    # Fills.

    @handles(OrderFilled)
    def book_fill(self, fill: OrderFilled, emit: Emit) -> None:
        """Book an execution once: to the owner of its order, or from outside by the rule of allocation."""
        if not self.executions.first(fill, self.kept):
            return
        instrument = fill.instrument
        owned = None if fill.cause else self.owners.of(fill.client_order_id)
        if fill.cause:
            self.halt(fill.recv_ns, instrument, fill.cause, emit)
        elif owned is None and fill.client_order_id:
            words = f"a fill of order {fill.client_order_id}, which is no longer remembered"
            self.halt(fill.recv_ns, instrument, words, emit)
        venue = self.venue_of(instrument)
        before = self.settling.before(venue) if self.real else NOTHING_BEFORE
        booking = Booking(self, _template(fill, owned), emit, found=fill.found)
        owner = owned.owner if owned is not None else ""
        instead_ns = self.readings.take_back(fill, owner, booking) if self.real else 0
        if owned is not None:
            booking.shares([(owned.owner, fill.size)], int(fill.fee), exits=owned.role == CLOSE)
        else:
            step = self.instruments[instrument].size_step
            shares = allocate(self.sizes(instrument), fill.side, fill.size, step)
            booking.shares(shares, int(fill.fee))
            self.close_if_flat(booking, shares, instrument)
        if self.real:
            self.readings.note(instrument, booking.pieces)
            self.readings.note_left(instrument, fill.venue_ns, booking.left)
            at_ns, venue_ns = fill.recv_ns, fill.venue_ns
            self.settling.note(at_ns, venue_ns, before, "a fill", venue, emit, instead_ns=instead_ns)
        booking.report("" if owned is not None else fill.cause or "fill from outside")

    def close_if_flat(self, booking: Booking, shares: list[tuple[str, int]], instrument: int) -> None:
        """Close all books of a market if a fill from outside touched a strategy's and the account is flat."""
        touched = any(owner not in (MANUAL, EXTERNAL) for owner, _ in shares)
        if touched and not self.account(instrument):
            booking.flatten()

    def halt(self, at_ns: int, instrument: int, reason: str, emit: Emit) -> None:
        """Halt a market, unless that was done a moment ago."""
        if at_ns >= self.halts.get(instrument, -_HALTED_AGAIN_NS) + _HALTED_AGAIN_NS:
            self.halts[instrument] = at_ns
            emit(MarketHalted(at_ns, instrument, reason))

    @handles(OperatorCommand)
    def note_resume(self, command: OperatorCommand, emit: Emit) -> None:
        """Let the next reason halt a market again, once a person has resumed."""
        if command.command == "resume":
            self.halts.clear()

    # Funding.

    @handles(FundingPaid)
    def fund(self, paid: FundingPaid, emit: Emit) -> None:
        """Book a payment once: to the book it is for, else divided. Payments come in order of their times."""
        instrument, key = paid.instrument, f"{paid.instrument} {paid.owner}"
        if paid.venue_ns <= self.funded_ns.get(key, 0):
            return
        self.funded_ns[key] = paid.venue_ns
        amount = at_scale(int(paid.amount), paid.scale, self.scale)
        if paid.owner:
            shares = [(paid.owner, amount)]
        else:
            shares = shared_payment(self.readings.sizes_at(instrument, paid.venue_ns), amount)
        venue = self.venue_of(instrument)
        before = self.settling.before(venue) if self.real else NOTHING_BEFORE
        for owner, amount in shares:
            self.book(owner, instrument).funding += amount
        for owner, _ in shares:
            emit(self.changed(paid.recv_ns, owner, instrument))
        if self.real:
            self.settling.note(paid.recv_ns, paid.venue_ns, before, "funding", venue, emit)
        self.mark(paid.recv_ns, emit)

    @property
    def kept(self) -> int:
        """How many ended orders and executions are remembered at least."""
        return KEPT_MIN if self.real else self.remembered

    # The account at a real venue.

    @handles(PositionRead)
    def compare(self, read: PositionRead, emit: Emit) -> None:
        """Compare the venue's position with the books."""
        self.readings.compare(read, emit)

    @handles(AccountRead)
    def note_account(self, read: AccountRead, emit: Emit) -> None:
        """Compare the venue's value of the account with the ledger."""
        self.settling.read(read, emit)

    @handles(TransferSeen)
    def note_transfer(self, seen: TransferSeen, emit: Emit) -> None:
        """Book a deposit, a withdrawal or a transfer."""
        self.settling.transfer(seen, emit)

    def rescale(self, before: InstrumentListed, listed: InstrumentListed) -> None:
        """See `Actor.rescale`. A price that had more decimals than its market uses the new ones."""
        super().rescale(before, listed)
        by, instrument = listed.price_scale - before.price_scale, listed.instrument
        for one in self.corrections.get(instrument, []):
            one.price, one.finer = shifted(one.price, one.finer, by)
        found = self.found.get(instrument)
        if found is not None:
            found.price, found.finer = shifted(found.price, found.finer, by)

    def refine(self, factor: int) -> None:
        """Move all other money to a finer scale."""
        super().refine(factor)
        self.effects = [(venue_ns, amount * factor) for venue_ns, amount in self.effects]
        for corrections in self.corrections.values():
            for one in corrections:
                one.gain *= factor
                one.cost *= factor
                one.net_cost *= factor


def _template(fill: OrderFilled, owned: Owned | None) -> FillBooked:
    """Return what all parts of a fill have in common."""
    return FillBooked(
        fill.recv_ns,
        "",
        fill.instrument,
        fill.side,
        fill.price,
        0,
        0,
        fill.finer,
        fill.client_order_id,
        fill.trade_id,
        fill.liquidity,
        "",
        owned.purpose if owned is not None else "own",
        owned is None,
        False,
        fill.cause,
        owned.handle if owned is not None else "",
        fill.fee_asset,
        fill.venue_ns,
        fill.venue_order_id if owned is not None and owned.changed else 0,
    )

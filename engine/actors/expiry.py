"""How long a real order may be on its way, and when its absence at the venue is proof (decision 0062).

Owns these times; they are functions of an order, the configuration and the venue's time. Called by the
execution actor.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from engine.actors.order import Order
from engine.config import VenueConfig
from engine.events import InstrumentListed, ModifyApproved, OrderApproved, OrderRead
from engine.events.terms import CLOSE

__all__ = [
    "DOUBLINGS_MAX",
    "change_proof_ns",
    "expires_ns",
    "is_absent",
    "is_cut",
    "is_exit",
    "is_undecided",
    "margin_ns",
    "until_proof",
]

READ_AFTER_NS = 10_000_000
"""An order is queried this long after its absence is proof: the venue's clock has passed that time then."""

DOUBLINGS_MAX = 10

_MS = 1_000_000


def is_exit(approved: OrderApproved) -> bool:
    """Return whether an order only closes and is sent alone: a child is sent together with its parent."""
    return approved.terms.role == CLOSE and not approved.terms.parent


def expires_ns(venue: VenueConfig, approved: OrderApproved | ModifyApproved, missed: int = -1) -> int:
    """Return the time of our clock after which an order is neither sent nor taken.

    `missed`: for an exit, how many before it did not reach the venue's book.
    """
    span_ms, exit_ms = venue.expires_ms, _exit_ms(venue)
    if missed >= 0 and exit_ms:
        span_ms = min(span_ms, exit_ms << min(missed, DOUBLINGS_MAX))
    due_ns = approved.at_ns + span_ms * _MS
    return min(due_ns, approved.fresh_ns or due_ns)


def margin_ns(
    venue: VenueConfig | None, approved: OrderApproved, instruments: Mapping[int, InstrumentListed]
) -> int:
    """Return how long after its expiry an exit counts as on its way; 0 for the margin of an opening.

    It is short only where the venue lets an exit close and no more, should the venue take longer than this to
    show an exit that it took in time: reduce-only, or a market in which only what is held is sold.
    """
    if venue is None:
        return 0
    listed = instruments.get(approved.instrument)
    closes_only = approved.terms.reduce_only or (listed is not None and not listed.rules.on_margin)
    return min(venue.answer_ms * _MS, _exit_ms(venue) * _MS // 2) if closes_only else 0


def proof_ns(order: Order, answer_ns: int) -> int:
    """Return the venue's time after which its absence proves that an order cannot arrive any more."""
    return order.expires_ns + (order.margin_ns or answer_ns)


def change_proof_ns(venue: VenueConfig | None, order: Order, expires_ns: int, answer_ns: int) -> int:
    """Return the venue's time after which an order that does not show a change was not changed by it."""
    if venue is None or venue.exit_expires_ms is msgspec.UNSET or not expires_ns:
        return 0  # Days from before this rule do not have the key.
    return expires_ns + (order.margin_ns or answer_ns)


def is_undecided(order: Order, read: OrderRead, number: int) -> bool:
    """Return whether a change may still arrive: an open order does not show it yet. `number`: before it."""
    same = (read.limit_price, read.size) == (order.limit_price, order.size - order.filled)
    return bool(order.modifying) and same and read.leaves_open(number, order.proof_ns)


def until_proof(venue: VenueConfig | None, order: Order, venue_ns: int, wait_ns: int) -> int:
    """Return a wait that ends no later than when absence becomes proof, unless it is already."""
    proofs = [order.proof_ns] if order.modifying else []
    if venue is not None and _exit_ms(venue) and order.expires_ns:
        proofs.append(proof_ns(order, venue.answer_ms * _MS))
    left = [one + READ_AFTER_NS - venue_ns for one in proofs]
    return min([wait_ns, *(left_ns for left_ns in left if left_ns > 0)])


def _exit_ms(venue: VenueConfig) -> int:
    """Return the time that an exit has, 0 for that of every order: days before this rule have none."""
    return 0 if venue.exit_expires_ms is msgspec.UNSET else venue.exit_expires_ms


def is_absent(order: Order, read: OrderRead, answer_ns: int) -> bool:
    """Return whether the order cannot be at the venue: it was absent well after its expiry."""
    return (
        not order.filled
        and not order.venue_order_id
        and bool(order.expires_ns)
        and read.venue_ns > proof_ns(order, answer_ns)
    )


def is_cut(order: Order, read: OrderRead, answer_ns: int) -> bool:
    """Return whether what is missing of a filled order never fills: reduce-only or a change had cut it.

    The fills of an answer have been reported before it, but for those of the moment of the query.
    """
    if not (order.reduce_only or order.modifying) or not order.filled:
        return False
    order.filled_ns = order.filled_ns or read.venue_ns
    return read.venue_ns >= order.filled_ns + answer_ns

"""How a funding payment of the account is divided among the books of its market.

A real venue pays for the account's position: the payment is shared by the sizes of that time, rounded down,
and the units left over go to the largest book. Called by `Books`.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.actors.books.book import EXTERNAL

__all__ = ["shared_payment"]


def shared_payment(sizes: Sequence[tuple[str, int]], amount: int) -> list[tuple[str, int]]:
    """Return (owner, amount) for each book that was not flat; of two equally large ones the first is largest.

    Where the sizes net to 0, or all are, the payment is one that the books cannot explain: it goes to the
    largest book, else to `external`.
    """
    held = [one for one in sizes if one[1]]
    if not held:
        return [(EXTERNAL, amount)]
    total = sum(size for _, size in held)
    shares = {owner: amount * size // total if total else 0 for owner, size in held}
    largest = max(held, key=lambda one: abs(one[1]))[0]
    shares[largest] += amount - sum(shares.values())
    return list(shares.items())

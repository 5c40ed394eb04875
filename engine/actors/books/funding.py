"""How a funding payment is divided among the books of its market.

A payment of the simulated venue says price and rate: each book pays for its own size, even where the sizes
net to 0. A payment of a real venue is for the account's position: it is shared by the sizes of that time, and
the units left over go to the largest book. Every division is rounded down. Called by `Books`.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.actors.books.book import EXTERNAL
from engine.values import power_of_ten

__all__ = ["own_payments", "shared_payment"]


def own_payments(
    sizes: Sequence[tuple[str, int]], price: int, rate: int, scale: int, to: int
) -> list[tuple[str, int]]:
    """Return what each book receives: minus size times price times rate. `scale` is that of the product."""
    return [(owner, _at(-size * price * rate, scale, to)) for owner, size in sizes if size]


def shared_payment(
    sizes: Sequence[tuple[str, int]], amount: int, scale: int, to: int
) -> list[tuple[str, int]]:
    """Divide an amount by the sizes, which were those of the account when it was paid."""
    held = [one for one in sizes if one[1]]
    total = sum(size for _, size in held)
    paid = _at(amount, scale, to)
    if not held:
        return [(EXTERNAL, paid)]
    shares = {owner: paid * size // total if total else 0 for owner, size in held}
    largest = max(held, key=lambda one: abs(one[1]))[0]
    shares[largest] += paid - sum(shares.values())
    return list(shares.items())


def _at(value: int, scale: int, to: int) -> int:
    return value * power_of_ten(to - scale) if to >= scale else value // power_of_ten(scale - to)

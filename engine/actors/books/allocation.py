"""Which books an execution belongs to that was not ordered through the engine.

Owns the order in which books are reduced: `external`, `manual`, then the strategies in proportion to their
sizes, by whole steps of the grid; what is left opens in `external`. Pure functions. Called by `Books`.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.actors.books.book import EXTERNAL, MANUAL

__all__ = ["allocate", "portions"]


def allocate(books: Sequence[tuple[str, int]], side: int, size: int, step: int) -> list[tuple[str, int]]:
    """Return (owner, size) in the order of booking. `books` are (owner, signed size) in configured order."""
    held = dict(books)
    left = size
    found: list[tuple[str, int]] = []
    for owner in (EXTERNAL, MANUAL):
        part = min(left, abs(held.get(owner, 0))) if held.get(owner, 0) * side < 0 else 0
        if part:
            found.append((owner, part))
            left -= part
    against = [(owner, abs(p)) for owner, p in books if owner not in (EXTERNAL, MANUAL) and p * side < 0]
    shared = min(left, sum(p for _, p in against))
    if shared:
        found += [one for one in _shares(against, shared, step) if one[1]]
        left -= shared
    if left:
        found.append((EXTERNAL, left))
    return found


def portions(amount: int, sizes: Sequence[int]) -> list[int]:
    """Divide an amount of money among sizes so that the parts sum to it exactly."""
    total = sum(sizes)
    found: list[int] = []
    reached = before = 0
    for size in sizes:
        reached += size
        until = amount * reached // total
        found.append(until - before)
        before = until
    return found


def _shares(against: Sequence[tuple[str, int]], shared: int, step: int) -> list[tuple[str, int]]:
    """Divide a size in proportion, by whole steps; each step left over goes to the largest fraction."""
    total = sum(p for _, p in against)
    whole = [shared * p // (total * step) * step for _, p in against]
    left = shared - sum(whole)
    # A tie goes to the first: `sorted` keeps the order of equals.
    by_fraction = sorted(range(len(against)), key=lambda at: whole[at] * total - shared * against[at][1])
    while left:
        for at in by_fraction:
            more = min(step, left, against[at][1] - whole[at])
            whole[at] += more
            left -= more
    return [(owner, part) for (owner, _), part in zip(against, whole, strict=True)]

"""Books and money in exact fractions: what an account and its owners hold after a list of fills.

Written from the rules alone and without code of the engine, so that it can contradict the engine. A *book*
is the position of one owner in one market; the account is the sum of a market's books. Everything is exact
except what the rules round: realised and unrealised profit and funding down, fees up, at `places` decimals.
Used by the model of a session (`model.py`) and by tests of single rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor

EXTERNAL = "external"
MANUAL = "manual"
ZERO = Fraction(0)


def down(value: Fraction, places: int) -> Fraction:
    """Round to `places` decimals, down."""
    unit = 10**places
    return Fraction(floor(value * unit), unit)


def up(value: Fraction, places: int) -> Fraction:
    """Round to `places` decimals, up."""
    unit = 10**places
    return Fraction(ceil(value * unit), unit)


def sign(value: Fraction) -> int:
    """Return 1, 0 or -1."""
    return (value > 0) - (value < 0)


@dataclass
class Book:
    """The position of one owner in one market. `size` and `cost` are signed; the rest are sums."""

    size: Fraction = ZERO
    cost: Fraction = ZERO
    realized: Fraction = ZERO
    fees: Fraction = ZERO
    funding: Fraction = ZERO

    def fill(self, side: int, size: Fraction, price: Fraction, fee: Fraction, places: int) -> None:
        """Book one execution. It must not cross 0: `parts` splits one that does."""
        value = size * price
        if sign(self.size) == -side:
            assert size <= abs(self.size), "an execution crosses 0"
            gain = down(-side * value - self.cost * size / abs(self.size), places)
            self.realized += gain
            self.cost += side * value + gain
        else:
            self.cost += side * value
        self.size += side * size
        self.fees += fee

    def unrealized(self, mark: Fraction | None, places: int) -> Fraction:
        """Return the profit at `mark`; before any price the position is worth its cost."""
        return ZERO if mark is None else down(self.size * mark - self.cost, places)


def parts(held: Fraction, side: int, size: Fraction) -> list[Fraction]:
    """Split an execution at 0: the size that closes, then the size that opens."""
    closing = min(size, abs(held)) if sign(held) == -side else ZERO
    return [part for part in (closing, size - closing) if part]


def allocate(
    books: Sequence[tuple[str, Fraction]], side: int, size: Fraction, step: Fraction
) -> list[tuple[str, Fraction]]:
    """Divide an execution that nobody here ordered among the books; return (owner, size) in booking order.

    `books` are the strategies' in configured order, then those of `manual` and `external`. Books of the other
    sign are reduced first: `external`, `manual`, then the strategies in proportion to their sizes, in whole
    steps. A step left over goes to the largest fraction, a tie to the first. The rest opens in `external`.
    """
    held = dict(books)
    found: dict[str, Fraction] = {}
    left = size
    for owner in (EXTERNAL, MANUAL):
        if sign(held.get(owner, ZERO)) == -side:
            part = min(left, abs(held[owner]))
            found[owner] = part
            left -= part
    against = [
        (name, abs(p)) for name, p in books if name not in (EXTERNAL, MANUAL) and sign(p) == -side and left
    ]
    total = sum((p for _, p in against), ZERO)
    shared = min(left, total)
    if shared:
        exact = [(name, shared * p / total) for name, p in against]
        whole = {name: floor(part / step) * step for name, part in exact}
        steps = (shared - sum(whole.values(), ZERO)) / step
        by_fraction = sorted(
            exact, key=lambda one: -(one[1] - whole[one[0]])
        )  # stable: ties keep their order
        for name, _ in by_fraction[: int(steps)]:
            whole[name] += step
        found |= {name: part for name, part in whole.items() if part}
        left -= shared
    ordered = [(name, found[name]) for name in (EXTERNAL, MANUAL) if found.get(name)]
    ordered += [(name, found[name]) for name, _ in against if found.get(name)]
    if left:
        ordered.append((EXTERNAL, left))
    return ordered


@dataclass
class Account:
    """All books, and the money of the account in quote currency.

    `places` are the decimals at which amounts are rounded. `start` is the cash, or the value, that it began
    with; `adjusted` are transfers and unexplained differences since.
    """

    start: Fraction
    places: int
    owners: tuple[str, ...] = ()
    adjusted: Fraction = ZERO
    books: dict[tuple[str, int], Book] = field(default_factory=dict)

    def book(self, owner: str, market: int) -> Book:
        """Return the book of an owner, empty if it has none yet."""
        found = self.books.get((owner, market))
        if found is None:
            found = self.books[owner, market] = Book()
        return found

    def of(self, market: int) -> list[tuple[str, Book]]:
        """Return the books of a market in order: strategies as configured, `manual`, `external`."""
        return [(owner, self.book(owner, market)) for owner in (*self.owners, MANUAL, EXTERNAL)]

    def size(self, market: int) -> Fraction:
        """Return the account's position: the sum of the books."""
        sizes = (book.size for (_, at), book in self.books.items() if at == market)
        return sum((size for size in sizes if size), ZERO)

    def netted(self, market: int) -> bool:
        """Return whether one book is long and another one short."""
        return len({sign(book.size) for (_, at), book in self.books.items() if at == market} - {0}) == 2

    def total(self, what: str) -> Fraction:
        """Return a sum over all books: "realized", "fees" or "funding"."""
        amounts = (getattr(book, what) for book in self.books.values())
        found: Fraction = sum((amount for amount in amounts if amount), ZERO)
        return found

    def unrealized(self, marks: dict[int, Fraction]) -> Fraction:
        """Return the profit of all open positions at the newest marks. A flat book has no cost."""
        return sum(
            (
                book.unrealized(marks.get(market), self.places)
                for (_, market), book in self.books.items()
                if book.size or book.cost
            ),
            ZERO,
        )

    def cash(self) -> Fraction:
        """Return the equity without unrealised profit."""
        return (
            self.start + self.adjusted + self.total("realized") - self.total("fees") + self.total("funding")
        )

    def equity(self, marks: dict[int, Fraction]) -> Fraction:
        """Return cash and unrealised profit."""
        return self.cash() + self.unrealized(marks)


def share_funding(
    books: Iterable[tuple[str, Fraction]], amount: Fraction, places: int
) -> list[tuple[str, Fraction]]:
    """Divide a funding payment of the account by the books' sizes; left-over units go to the largest book."""
    held = [(owner, p) for owner, p in books if p]
    total = sum((p for _, p in held), ZERO)
    if not total:
        return []
    unit = Fraction(1, 10**places)
    parts_ = {owner: down(amount * p / total, places) for owner, p in held}
    left = amount - sum(parts_.values(), ZERO)
    largest = max(held, key=lambda one: abs(one[1]))[0]
    parts_[largest] += left
    assert left < len(held) * unit
    return list(parts_.items())


def largest_fall(points: Iterable[Fraction], start: Fraction) -> Fraction:
    """Return the largest fall of equity below its highest value so far, which begins at `start`."""
    peak, fall = start, ZERO
    for equity in points:
        peak = max(peak, equity)
        fall = max(fall, peak - equity)
    return fall

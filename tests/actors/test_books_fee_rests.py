"""What fees in the base asset leave of steps of the grid, against a plain model in exact fractions.

The model has one number: the balance at the venue. Whatever strategies and others trade, no reading of it is
a difference, no book is larger than it, and the first whole step that nobody here traded is one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.actors.books.book import FINER
from engine.events import FillBooked, InstrumentListed, MarketHalted, MarketRules, PositionDiffers
from engine.values import BUY, SELL
from tests.actors.books_kit import MS, Kit
from tests.actors.harness import T
from tests.profiles import examples

F = Fraction
OWNERS = ("S1", "S2", "manual", "")
"""Whose fills come: "" is somebody else on the account."""


def spot(size_scale: int, step: int) -> dict[int, InstrumentListed]:
    """Return a spot market; fees of 1e-8 are exact in it."""
    rules = MarketRules(base="HYPE", quote="USDC")
    return {1: InstrumentListed(T, 1, "sim", "HYPE/USDC", 4, size_scale, 1, step, kind="spot", rules=rules)}


@dataclass
class Account:
    """Books and the balance that the venue has, with what moved it and when."""

    kit: Kit
    balance: Fraction
    at_ns: int = T
    moves: list[tuple[int, Fraction]] = field(default_factory=list)

    @property
    def step(self) -> Fraction:
        listed = self.kit.listed[1]
        return F(listed.size_step, 10**listed.size_scale)

    def left(self) -> Fraction:
        """Return what the books say that fees have left."""
        listed = self.kit.listed[1]
        left = self.kit.books.readings.left_at(1, self.at_ns)
        return F(left, 10 ** (listed.money_scale + FINER))

    def trade(self, owner: str, side: int, steps: int, fee_units: int) -> None:
        """Fill an order of a number of steps; a purchase pays a fee of so many units of 1e-8."""
        self.at_ns += 10 * MS
        if side == SELL:
            steps = min(steps, self.most(owner))
        if not steps:
            return
        fee = F(min(fee_units, int(steps * self.step * 10**8)), 10**8) if side == BUY else F(0)
        size = steps * self.step
        scale = self.kit.listed[1].money_scale
        fields: dict[str, Any] = {"fee_asset": "HYPE"} if fee else {}
        finer = max(0, 8 - scale)
        name = self.kit.order(owner, side, str(size)) if owner else ""
        self.kit.fill(name, side, str(size), "20", fee=str(fee), finer=finer, at_ns=self.at_ns, **fields)
        self.moves.append((self.at_ns, side * size - fee))
        self.balance += side * size - fee

    def most(self, owner: str) -> int:
        """Return how many steps may be sold: what a book has, and by others, what the balance has."""
        if not owner:
            return int(self.balance / self.step)
        return int(max(F(0), min(self.kit.held(owner), self.balance)) / self.step)

    def read(self, before: int = 0) -> list[Any]:
        """Read the balance as it was before the last so many movements, in a reading that comes now."""
        later = self.moves[len(self.moves) - before :] if before else []
        at_ns = later[0][0] - 5 * MS if later else self.at_ns + MS
        balance = self.balance - sum((moved for _, moved in later), F(0))
        return self.kit.balance_read(balance, at_ns=at_ns)


def begun(size_scale: int, step: int, rest_units: int) -> Account:
    """Return a real account that holds less than a step of the coin, read once."""
    kit = Kit(real=True, listed=spot(size_scale, step))
    account = Account(kit, F(rest_units, 10**8), T - 100 * MS)
    assert account.read() == []
    account.at_ns = T
    return account


trades = st.tuples(
    st.sampled_from(OWNERS), st.sampled_from([BUY, BUY, SELL]), st.integers(1, 4), st.integers(0, 3 * 10**6)
)
GRIDS = ((2, 1), (2, 5), (5, 1), (0, 1))


@examples(1)
@given(
    grid=st.sampled_from(GRIDS),
    rest=st.integers(0, 9),
    steps=st.lists(st.tuples(trades, st.integers(0, 2)), min_size=10, max_size=60),
)
def test_no_reading_differs_by_what_fees_left_of_steps(
    grid: tuple[int, int], rest: int, steps: list[tuple[tuple[str, int, int, int], int]]
) -> None:
    size_scale, size_step = grid
    account = begun(size_scale, size_step, rest * 10 ** (7 - size_scale))
    kit, found = account.kit, F(rest * 10 ** (7 - size_scale), 10**8)
    for (owner, side, size, fee), before in steps:
        account.trade(owner, side, size, fee % (3 * int(account.step * 10**8)))
        account.read(min(before, len(account.moves)))
        held = sum(kit.sizes().values())
        assert held + account.left() + found == account.balance
        assert kit.all(PositionDiffers) == kit.all(MarketHalted) == []
    assert all(size >= 0 for owner, size in kit.sizes().items() if owner != "external")


@pytest.mark.parametrize("grid", GRIDS)
def test_a_whole_step_that_nobody_here_traded_is_a_difference(grid: tuple[int, int]) -> None:
    account = begun(*grid, 0)
    fee = int(account.step * 4 * 10**7)
    for owner in ("S1", "S2", "manual"):
        account.trade(owner, BUY, 2, fee)
    assert account.balance == 6 * account.step - 3 * F(fee, 10**8), "4.8 steps: three books of one"
    assert account.read() == []
    account.balance += account.step * F(9, 10)
    assert account.read() == [], "others moved less than a step"
    account.balance += account.step / 10
    emitted = account.read()
    (booked,) = [one for one in emitted if isinstance(one, FillBooked)]
    assert (booked.owner, booked.side, booked.size) == ("external", BUY, grid[1])
    assert [type(one) for one in emitted if isinstance(one, MarketHalted | PositionDiffers)] == [
        PositionDiffers,
        MarketHalted,
    ]
    assert account.read() == [], "once"


def test_books_that_hold_more_than_the_balance_are_a_difference() -> None:
    account = begun(2, 1, 0)
    for owner in ("S1", "S2"):
        account.trade(owner, BUY, 2, 4 * 10**5)
    account.balance = F(2, 100)
    assert account.read() == [], "what fees left was moved away; the books are covered"
    account.balance = F("0.0199")
    emitted = account.read()
    (differs,) = [one for one in emitted if isinstance(one, PositionDiffers)]
    assert (differs.own, differs.venue) == (2, 1)
    assert sum(account.kit.sizes().values()) == F("0.01")


def test_a_reading_without_the_rest_is_compared_in_whole_steps() -> None:
    account = begun(2, 1, 0)
    for owner in ("S1", "S2"):
        account.trade(owner, BUY, 2, 4 * 10**5)
    (differs,) = [
        one
        for one in account.kit.position_read("0.03", at_ns=account.at_ns + MS)
        if isinstance(one, PositionDiffers)
    ]
    assert (differs.own, differs.venue) == (2, 3)

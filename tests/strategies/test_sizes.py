"""Numbers as authors write them, on the grids of many markets, against a plain model in exact fractions.

The model knows no code of the engine: a float is the decimal number of 15 digits next to it, a size is
rounded down, a price down for a buy and up for a sell, and a value or a share of the equity buys the largest
size that it pays for at the limit, the trigger or else the newest price.
"""

from __future__ import annotations

from decimal import Context
from fractions import Fraction
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from engine.events import InstrumentListed
from engine.strategies.actor import StrategyActor
from engine.values import BUY, SELL
from tests.actors.harness import Harness, T
from tests.strategies.asking import Asking, asked, equity

SHOWN = 10_050  # the price of the trade that calls, in units of the market

grids = st.tuples(st.integers(0, 4), st.sampled_from([1, 5]), st.integers(0, 5), st.sampled_from([1, 10, 25]))
sides = st.sampled_from([BUY, SELL])
# What a strategy calculates is often a step of the grid but for the noise of binary arithmetic.
worked_out = st.builds(
    lambda one, other: one / 100 * (other / 100), st.integers(1, 10**4), st.integers(1, 10**3)
)
Grid = tuple[int, int, int, int]


def on_market(grid: Grid) -> Harness:
    """Return a strategy in one market: the scale and step of prices, and of sizes."""
    price_scale, price_step, size_scale, size_step = grid
    one = InstrumentListed(
        T, 1, "sim", "AAA", price_scale, size_scale, price_step=price_step, size_step=size_step
    )
    return Harness(StrategyActor(Asking, "mine", {}, ()), {1: one})


def read(number: float) -> Fraction:
    return Fraction(Context(prec=15).create_decimal(number))


def down(value: Fraction, scale: int, step: int) -> int:
    return int(value * 10**scale // step) * step


def up(value: Fraction, scale: int, step: int) -> int:
    return -down(-value, scale, step)


def price(grid: Grid, value: float, side: int) -> int:
    return (down if side == BUY else up)(read(value), *grid[:2])


@given(grids, sides, st.floats(0.001, 10**6) | worked_out, st.floats(100, 10**6), st.floats(0.9, 0.99))
def test_floats_are_on_the_grid_as_a_plain_model_puts_them(
    grid: Grid, side: int, size: float, limit: float, part: float
) -> None:
    on = on_market(grid)
    below, above = limit * part, limit / part
    loss, profit = (below, above) if side == BUY else (above, below)
    assume(price(grid, loss, -side) * side < price(grid, profit, -side) * side)
    verb = "buy" if side == BUY else "sell"
    more: dict[str, Any] = {"limit": limit, "stop_loss": loss, "take_profit": profit}
    (order,) = asked(on, lambda s: getattr(s, verb)("AAA", size, **more))
    steps = down(read(size), *grid[2:])
    assert (order.terms.side, order.terms.size) == (side, steps)
    assert order.terms.limit == price(grid, limit, side)
    assert order.children == (
        ("sl", price(grid, loss, -side), steps),
        ("tp", price(grid, profit, -side), steps),
    )
    (stop,) = asked(on, lambda s: s.stop("AAA", verb, size, limit))
    assert (stop.size, stop.trigger_price) == (steps, price(grid, limit, side))
    if steps:
        (trail,) = asked(on, lambda s: s.trail("AAA", size, limit))
        assert (trail.size, trail.distance) == (steps, down(read(limit), *grid[:2]))


@given(
    grids,
    st.sampled_from(["buy", "sell", "target", "short"]),
    st.sampled_from(["notional", "percent"]),
    st.floats(0.01, 10**5) | worked_out,
    st.booleans(),
    st.integers(1, 10**12),
    st.integers(0, 9),
    st.sampled_from(["", "limit", "trigger"]),
    st.floats(100, 10**6),
)
def test_a_value_or_a_share_of_the_equity_buys_what_a_plain_model_says(
    grid: Grid, verb: str, by: str, share: float, minus: bool, money: int, scale: int, at: str, level: float
) -> None:
    on = on_market(grid)
    on.send(equity(money, scale=scale))
    worth = read(share) * (Fraction(money, 100 * 10**scale) if by == "percent" else 1)
    unit = Fraction(SHOWN, 10 ** grid[0])
    if verb in ("buy", "sell"):
        side = BUY if verb == "buy" else SELL
        more: dict[str, Any] = {at: level} if at else {}
        if at:
            unit = Fraction(price(grid, level, side), 10 ** grid[0])
        (order,) = asked(on, lambda s: getattr(s, verb)("AAA", **{by: share}, **more))
        found = order.terms.size
        expected = down(worth / unit, *grid[2:])
    else:
        share = -share if minus else share
        (target,) = asked(on, lambda s: s.target("AAA", **{by: share}, short=verb == "short"))
        found = target.size
        expected = down(worth / unit, *grid[2:]) * (-1 if minus != (verb == "short") else 1)
    assert found == expected

"""Tiers of fees at the simulated venue, against the definition in exact fractions on random days of fills."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors import SimulatedVenue
from engine.clock import DAY_NS
from engine.config import AccountConfig, PaperConfig, SimulatedConfig
from engine.events import InstrumentListed, OrderFilled
from engine.values import BUY, SELL
from tests.actors.harness import LISTED, Harness, T
from tests.actors.venue_kit import HOUR, MS, PLAIN, order, placed, trade
from tests.profiles import examples

TIERS = ("0 0.00045 0.00015", "10 0.0004 0.00012", "25.5 0.00035 -0.00003")
FINER = InstrumentListed(T, 2, "sim", "BBB", 5, 8)


def rate_of(before: Fraction, liquidity: str) -> Fraction:
    rows = [[Fraction(one) for one in row.split()] for row in TIERS]
    reached = [row for row in rows if row[0] <= before]
    return reached[-1][1 if liquidity == "taker" else 2]


@examples(0.6)
@given(
    st.lists(
        st.tuples(st.integers(0, 45), st.booleans(), st.integers(1, 40_000), st.integers(50, 150)),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["0", "9.999999", "25.5"]),
    st.integers(0, 12),
)
@example([(0, False, 10_000, 100), (0, True, 1, 100), (30, True, 1, 100), (1, False, 1, 100)], "0", 1)
@example([(0, False, 1, 100), (29, True, 1, 100), (1, True, 1, 100)], "25.5", 12)
@example([(0, False, 1, 100), (1, False, 20_000, 100), (30, True, 1, 100), (0, True, 1, 100)], "0", 12)
def test_a_fee_is_that_of_the_volume_of_the_30_days_before_the_day(
    fills: list[tuple[int, bool, int, int]], stated: str, finer_at: int
) -> None:
    """(days after the fill before, maker, size, price); after `finer_at` of them a finer market is listed."""
    section = SimulatedConfig(fee_tiers=TIERS, volume=stated, queue="through")
    config = AccountConfig(cash="9000000000")
    harness = Harness(SimulatedVenue(PaperConfig(**PLAIN), config, section), LISTED)
    at, first = T, None
    volumes: dict[int, Fraction] = {}
    for number, (days, maker, size, price) in enumerate(fills):
        if number == finer_at:
            harness.send(FINER)
        at += days * DAY_NS + 2 * HOUR
        found = _fill(harness, f"o{number}", at, maker=maker, size=size, price=price)
        day = found.recv_ns // DAY_NS
        first = day if first is None else first
        before = sum((value for one, value in volumes.items() if day - 30 <= one < day), Fraction(0))
        before += Fraction(stated) if day < first + 30 else 0
        value = Fraction(found.price * found.size, 10 ** (5 + found.finer))
        expected = value * rate_of(before, found.liquidity)
        assert found.liquidity == ("maker" if maker else "taker")
        fee = Fraction(int(found.fee), 10 ** (5 + found.finer))
        assert 0 <= fee - expected < Fraction(1, 10 ** (5 + found.finer))
        volumes[day] = volumes.get(day, Fraction(0)) + value


def _fill(harness: Harness, name: str, at: int, *, maker: bool, size: int, price: int) -> Any:
    """Return the fill of an order: a market order, or a limit order that a trade goes through."""
    side = SELL if int(name[1:]) % 2 else BUY
    known = len(harness.all(OrderFilled))
    if maker:
        placed(harness, order(name, side, size, limit=price, at=at))
        harness.send(trade(price + side, size=size, at=at + HOUR))
        harness.send(trade(price - side, size=size, at=at + HOUR + MS))
    else:
        placed(harness, order(name, side, size, at=at))
        harness.send(trade(price, size=size, at=at + HOUR))
    (found,) = harness.all(OrderFilled)[known:]
    return found

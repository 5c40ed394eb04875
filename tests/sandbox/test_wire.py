"""Encoding of numbers and order books."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from adapters.exchange.grid import above, below, levels
from adapters.hyperliquid.rules import RULES
from adapters.sandbox.wire import InstrumentEncoder, wire_number
from engine.events import InstrumentListed, Quote
from engine.values import INT64_MAX, grid_step, parse_scaled, to_grid

from .kit import BTC, START_NS, quote, trade


@given(st.integers(0, INT64_MAX), st.integers(0, 12))
def test_a_number_parses_back_to_the_same_integer(value: int, scale: int) -> None:
    text = wire_number(value, scale)
    assert parse_scaled(text, scale) == value
    assert re.fullmatch(r"[0-9]+\.[0-9]+", text)


def test_a_whole_number_ends_in_a_zero_as_on_the_venue() -> None:
    assert wire_number(841430, 1) == "84143.0"
    assert wire_number(36, 5) == "0.00036"
    assert wire_number(0, 0) == "0.0"


@given(st.integers(1, 10**12), st.integers(0, 6))
def test_above_and_below_return_the_next_grid_price(price: int, scale: int) -> None:
    price = (
        price
        // grid_step(price, scale=scale, figures=RULES.price_figures)
        * grid_step(price, scale=scale, figures=RULES.price_figures)
    )
    higher = above(price, scale, figures=RULES.price_figures)
    assert higher > price
    assert higher % grid_step(higher, scale=scale, figures=RULES.price_figures) == 0
    assert below(higher, scale, figures=RULES.price_figures) == price
    assert to_grid(f"{price}e-{scale}", scale=scale, figures=5) == price


prices = st.integers(1, 10**9)


@given(
    prices, st.integers(1, 50), st.integers(1, 10**6), st.integers(1, 20), st.sampled_from([None, 2, 3, 4, 5])
)
def test_a_book_is_ordered_uncrossed_and_begins_at_the_quote(
    price: int, steps: int, size: int, depth: int, figures: int | None
) -> None:
    scale = BTC.price_scale
    bid = (
        price
        // grid_step(price, scale=scale, figures=RULES.price_figures)
        * grid_step(price, scale=scale, figures=RULES.price_figures)
    )
    ask = bid
    for _ in range(steps):
        ask = above(ask, scale, figures=RULES.price_figures)
    bids, asks = levels(BTC, Quote(0, 0, 1, bid, size, ask, size), depth, figures=figures)
    assert len(bids) <= depth >= len(asks)
    assert [level[0] for level in bids] == sorted({level[0] for level in bids}, reverse=True)
    assert [level[0] for level in asks] == sorted({level[0] for level in asks})
    assert all(amount > 0 and count > 0 for _, amount, count in bids + asks)
    if figures is None:
        assert bids[0][:2] == (bid, size)
        assert asks[0][:2] == (ask, size)
        assert all(
            at % grid_step(at, scale=scale, figures=RULES.price_figures) == 0 for at, _, _ in bids + asks
        )
    if bids:
        assert bids[0][0] <= bid < ask <= asks[0][0]


def test_an_empty_side_of_the_quote_is_an_empty_side_of_the_book() -> None:
    bids, asks = levels(BTC, Quote(0, 0, 1, 0, 0, 841440, 7))
    assert bids == []
    assert len(asks) == 20
    text = InstrumentEncoder(BTC).bbo(Quote(0, START_NS, 1, 0, 0, 841440, 7))
    assert json.loads(text)["bbo"][0] is None


def test_a_level_keeps_its_size_while_the_quote_moves() -> None:
    first = dict(level[:2] for level in levels(BTC, quote(0, 841430, 841440))[0])
    later = dict(level[:2] for level in levels(BTC, quote(0, 841450, 841460))[0][1:])
    shared = set(first) & set(later) - {841430}
    assert len(shared) > 10
    assert all(first[price] == later[price] for price in shared)


def test_a_name_with_special_characters_is_escaped() -> None:
    odd = InstrumentListed(0, 1, "x", 'a"b\\c\u00e9', 2, 2)
    assert json.loads(InstrumentEncoder(odd).trade(trade(0, 5)))["coin"] == odd.name

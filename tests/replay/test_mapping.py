"""Conversion to joint numbers and scales: which fields hold scaled values, and that nothing is rounded."""

from __future__ import annotations

import typing
from decimal import Decimal
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.events import (
    BookRead,
    Candle,
    CandleRead,
    ContextRead,
    Event,
    FeedDown,
    FundingRead,
    InstrumentListed,
    LiquidationRead,
    MarketRules,
    Quote,
    Trade,
)
from engine.values import Amount
from replay.bars import OF_BARS
from replay.joining import MARKET
from replay.mapping import Converter, Joint, conversions, joint_listing
from tests.profiles import examples

TYPES: Final = tuple(dict.fromkeys((*MARKET, *OF_BARS, CandleRead)))

UNSCALED: Final = {
    *("recv_ns", "venue_ns", "start_ns", "from_ns", "to_ns", "heard_ns", "interval_ns", "heard_ms"),
    *("proved_ns", "lag_ms", "handler_ms", "epoch", "begin_ns", "end_ns", "windows"),
    *("backoff_ms", "subscriptions", "attempt", "trades", "trade_id", "scale", "count"),
}
"""Fields with whole numbers that are the same at every scale."""

LISTED: Final = InstrumentListed(0, 3, "sim", "AAA", 2, 1)
JOINT: Final = Joint(7, 5, 2)
PRICE, SIZE = 1000, 10  # what prices and sizes of LISTED are multiplied by


def converter() -> Converter:
    made = Converter({LISTED.key: JOINT}, "here")
    made.convert([LISTED], lists=True)
    return made


@pytest.mark.parametrize("cls", [cls for cls in TYPES if cls is not InstrumentListed])
def test_every_number_of_a_market_input_has_a_unit_or_is_the_same_at_every_scale(cls: type[Event]) -> None:
    """A new field without a unit fails here: without one it would not be converted."""
    hints = typing.get_type_hints(cls, include_extras=True)
    converted = {cls.__struct_fields__[at] for at, _ in conversions(cls)}
    for name in cls.__struct_fields__:
        if typing.get_origin(hints[name]) is typing.Annotated:
            unit = typing.get_args(hints[name])[1]
            assert (name in converted) == (unit not in ("side", "scaled")), name
            if unit == "scaled":
                assert "scale" in cls.__struct_fields__, f"{name} needs a scale of its own"
        elif (cls, name) != (FeedDown, "instruments") and _may_be_a_number(hints[name]):
            assert name in UNSCALED, f"{cls.__name__}.{name}: annotate it with its unit (see engine.values)"


def _may_be_a_number(hint: Any) -> bool:
    if typing.get_origin(hint) is tuple or "tuple" in str(hint):
        return "int" in str(hint) and "SessionStarted" not in str(hint)
    return hint is int or hint is Amount or int in typing.get_args(hint)


def test_the_fields_of_a_listing_are_all_converted() -> None:
    """A new field that holds a price or a size must be added to `joint_listing`."""
    assert set(InstrumentListed.__struct_fields__) == {
        *("recv_ns", "instrument", "venue", "name", "price_scale", "size_scale", "price_step", "size_step"),
        *("price_figures", "kind", "silence", "ids", "rules"),
    }
    hints = typing.get_type_hints(MarketRules, include_extras=True)
    units = {name for name, hint in hints.items() if typing.get_origin(hint) is typing.Annotated}
    assert units == {"size_max"}
    numbers = {name for name, hint in hints.items() if hint is int}
    assert numbers == {"far_percent", "leverage", "leverage_max", "funding_s", "requests_per_minute"}


def test_the_instruments_of_a_lost_connection_have_joint_numbers() -> None:
    downs: list[Event] = [FeedDown(1, "sim", "cut", 5, (3,)), FeedDown(1, "sim", "cut", 5)]
    assert converter().convert(downs, lists=False) == [FeedDown(1, "sim", "cut", 5, (7,)), downs[1]]


def test_each_kind_of_value_is_converted() -> None:
    levels = ((5, 6, 2), (4, 1, 1))
    events: list[Event] = [
        Trade(1, 2, 3, 1234, 56, 1, "id"),
        Quote(1, 2, 3, 10, 20, 0, 0),
        Candle(1, 2, 3, 60, 0, 10, 12, 9, 11, str(2**63), 4),
        BookRead(1, 2, 3, levels, ()),
        ContextRead(1, 3, 8, 5, None, 7, "8", 9, 10),
        FundingRead(1, 2, 3, 8, 5, 6),
        LiquidationRead(1, 2, 3, -1, 1234, 56, "id", True),
    ]
    assert converter().convert(events, lists=False) == [
        Trade(1, 2, 7, 1234 * PRICE, 56 * SIZE, 1, "id"),
        Quote(1, 2, 7, 10 * PRICE, 20 * SIZE, 0, 0),
        Candle(1, 2, 7, 60, 0, 10 * PRICE, 12 * PRICE, 9 * PRICE, 11 * PRICE, str(2**63 * SIZE), 4),
        BookRead(1, 2, 7, ((5 * PRICE, 6 * SIZE, 2), (4 * PRICE, SIZE, 1)), ()),
        ContextRead(1, 7, 8, 5, None, 7, "8", 9, 10),
        FundingRead(1, 2, 7, 8, 5, 6),
        LiquidationRead(1, 2, 7, -1, 1234 * PRICE, 56 * SIZE, "id", True),
    ]


def test_a_volume_beyond_64_bits_becomes_text_and_a_price_is_refused() -> None:
    large = 2**62
    (candle,) = converter().convert([Candle(1, 2, 3, 60, 0, 1, 1, 1, 1, large)], lists=False)
    assert isinstance(candle, Candle)
    assert candle.volume == str(large * SIZE)
    with pytest.raises(Exception, match="a value of sim:AAA does not fit 64 bits with 5 decimals"):
        converter().convert([Trade(1, 2, 3, large, 1, 1)], lists=False)


def test_what_needs_no_change_is_the_same_object() -> None:
    same = Converter({LISTED.key: Joint(3, 2, 1)}, "here")
    events: list[Event] = [LISTED, Trade(1, 2, 3, 1, 1, 1)]
    (listed, trade) = same.convert(events, lists=True)
    assert listed is LISTED
    assert trade is events[1]
    assert same.convert(events, lists=False) is events


@examples(2)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 5))
def test_steps_keep_their_value_except_those_of_data_without_rules(
    price: int, size: int, more_price: int, more_size: int, figures: int
) -> None:
    joint = Joint(9, price + more_price, size + more_size)
    rules = MarketRules(stated=True, size_max=25)
    listed = InstrumentListed(0, 1, "sim", "AAA", price, size, 1, 2, figures, rules=rules)
    found = joint_listing(listed, joint)
    assert (found.instrument, found.price_figures) == (9, figures)
    assert Decimal(found.price_step).scaleb(-found.price_scale) == Decimal(1).scaleb(-price)
    assert Decimal(found.size_step).scaleb(-found.size_scale) == Decimal(2).scaleb(-size)
    assert Decimal(found.rules.size_max).scaleb(-found.size_scale) == Decimal(25).scaleb(-size)
    assumed = msgspec.structs.replace(listed, rules=MarketRules())
    found = joint_listing(assumed, joint)
    assert found.price_step == 1, "the smallest of the data, which states none"
    assert Decimal(found.size_step).scaleb(-found.size_scale) == Decimal(2).scaleb(-size)


@examples(2)
@given(st.integers(1, 10**15), st.integers(0, 4))
def test_prices_are_equally_on_the_grid_at_both_scales(price: int, figures: int) -> None:
    """A bound on significant figures does not depend on the scale."""
    rules = MarketRules(stated=True)
    listed = InstrumentListed(0, 1, "sim", "AAA", 2, 0, 5, 1, figures, rules=rules)
    finer = joint_listing(listed, Joint(1, 6, 0))
    assert finer.price_step_at(price * 10**4) == listed.price_step_at(price) * 10**4

"""Cells to integers: the fast paths agree with the one strict parser."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.files.noise import Column, digits_of
from adapters.files.numbers import (
    DECIMALS_MAX,
    NO_VALUES,
    maker_sides,
    number_reader,
    parse_trade_id,
    taker_sides,
    volume_reader,
)
from engine.errors import NumberError
from engine.values import BUY, INT64_MAX, NO_SIDE, SELL, format_scaled, parse_scaled

# Text similar to a number, to find a fast path that accepts too much.
NEAR_NUMBERS = st.one_of(
    st.text("0123456789.", max_size=24),
    st.text("0123456789.eE+-_ \t\u0661\u00b2\uff11naifINF,", max_size=12),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.from_regex(r"\A[0-9]{1,25}(\.[0-9]{1,25})?\Z"),
    st.text(max_size=8),
)
SCALES = st.integers(0, DECIMALS_MAX)


def strict(cell: str, scale: int, *, zero: bool) -> int | None:
    try:
        value = parse_scaled(cell, scale)
    except NumberError:
        return None
    return value if value or zero else None


@given(NEAR_NUMBERS, SCALES, st.booleans())
@example("5.", 2, False)
@example(".5", 2, False)
@example("\u0661", 0, False)
@example("\u00b2", 0, False)
@example("1.\u00b2", 2, False)
@example("0.00", 2, True)
@example("9223372036854775807", 0, False)
@example("9223372036854775808", 0, False)
@example("1.2.3", 4, False)
@example("0" * 60 + "1", 0, False)
def test_fast_path_agrees_with_the_strict_parser(cell: str, scale: int, zero: bool) -> None:
    expected = strict(cell, scale, zero=zero)
    read = number_reader("price", scale, zero=zero)
    if expected is None:
        with pytest.raises(NumberError, match=r"^price "):
            read(cell)
    else:
        assert read(cell) == expected


@given(st.integers(1, INT64_MAX), SCALES)
def test_every_exact_number_is_read_back(value: int, scale: int) -> None:
    assert number_reader("size", scale)(format_scaled(value, scale)) == value


@given(st.integers(0, 10**24), SCALES)
def test_a_volume_may_exceed_64_bits_and_stays_exact(value: int, scale: int) -> None:
    found = volume_reader(scale)(format_scaled(value, scale))
    assert int(found) == value
    assert isinstance(found, str) == (value > INT64_MAX)


@given(NEAR_NUMBERS, SCALES)
@example("9223372036854775807.5e-1", 2)
@example("9e30", 18)
@example("1000000000000000000000000.0001", 4)
@example("99999999999999999999", 0)
def test_volume_is_never_another_number(cell: str, scale: int) -> None:
    try:
        found = volume_reader(scale)(cell)
    except NumberError:
        assert strict(cell, scale, zero=True) is None
        return
    assert Fraction(int(found), 10**scale) == Fraction(cell)


@given(st.lists(NEAR_NUMBERS | st.decimals(0, 10**6, places=9).map(str), max_size=8))
@example(["1e-7", "1.50"])
@example(["1000000000000000000.1", "5"])
def test_measured_decimals_are_exactly_enough(cells: list[str]) -> None:
    column = Column()
    for cell in cells:
        column.add(cell)
    decimals, rounds = column.settle(DECIMALS_MAX)
    if rounds or decimals < 0:
        return  # see test_import_noise
    readable = [cell for cell in cells if any(strict(cell, n, zero=True) is not None for n in range(19))]
    if len(readable) < sum(digits_of(cell) is not None for cell in cells):
        return  # a number that no scale can hold, which the reader refuses
    if all(strict(cell, DECIMALS_MAX, zero=True) is not None for cell in readable):
        assert all(strict(cell, decimals, zero=True) is not None for cell in readable)
        fewer = decimals - 1
        assert not decimals or any(strict(cell, fewer, zero=True) is None for cell in readable)


@pytest.mark.parametrize(
    "cell", ["0", "0.00", "-1", "-0.5", "NaN", "inf", "1_000", " 1", "+1", "", "1e99", "0x1"]
)
def test_an_invalid_price_is_refused(cell: str) -> None:
    with pytest.raises(NumberError, match=r"^price "):
        number_reader("price", 2)(cell)


def test_sides_of_the_taker() -> None:
    sides = taker_sides()
    assert {sides[cell] for cell in ("buy", "Buy", "BUY", "b", "B", "bid", "1", "1.0")} == {BUY}
    assert {sides[cell] for cell in ("sell", "SELL", "s", "a", "A", "ask", "-1")} == {SELL}
    assert sides[""] == NO_SIDE
    assert {sides[cell] for cell in ("unknown", "Unknown", "NONE", "nan", "-", "N", " ")} == {NO_SIDE}
    with pytest.raises(NumberError, match=r"side 'long' is not one of buy, sell.*--columns side="):
        sides["long"]
    turned = taker_sides(turned=True)
    assert [turned[cell] for cell in ("buy", "sell", "unknown")] == [SELL, BUY, NO_SIDE]


def test_a_buyer_who_was_the_maker_means_the_taker_sold() -> None:
    sides = maker_sides()
    assert {sides[cell] for cell in ("true", "True", "1")} == {SELL}
    assert {sides[cell] for cell in ("false", "FALSE", "0")} == {BUY}
    turned = maker_sides(turned=True)
    assert [turned[cell] for cell in ("true", "false", "")] == [BUY, SELL, NO_SIDE]
    with pytest.raises(NumberError, match="maker 'buy'"):
        sides["buy"]


@given(st.one_of(st.text(max_size=30), st.text("0123456789", max_size=22), st.integers(0, 2**66).map(str)))
@example("007")
@example("\u0661")
@example("9223372036854775808")
@example("None")
@example("NaN")
@example("-")
def test_trade_id_keeps_its_text(cell: str) -> None:
    try:
        found = parse_trade_id(cell)
    except NumberError:
        assert not cell.isprintable()
        return
    if cell.strip().lower() in NO_VALUES:
        assert found == 0
        return
    assert str(found) == cell
    assert isinstance(found, str) or 0 <= found <= INT64_MAX


def test_trade_id_has_a_bound() -> None:
    with pytest.raises(NumberError, match="longer than 128"):
        parse_trade_id("x" * 129)

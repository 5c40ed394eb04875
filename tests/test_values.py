"""Exact numbers: the strict parser, formatting, and rounding to the venue's grid (V01, V05, O20, O21)."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import NumberError, UsageError
from engine.events import InstrumentListed
from engine.values import (
    BUY,
    INT64_MAX,
    INTERVALS,
    NO_SIDE,
    SELL,
    format_interval,
    format_scaled,
    grid_step,
    parse_interval,
    parse_scaled,
    power_of_ten,
    rescale,
    side_name,
    to_grid,
    wide,
)

EXACT = Context(prec=400, Emax=9999, Emin=-9999)
PLAIN = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?", re.ASCII)

scales = st.integers(0, 18)
numbers = st.from_regex(r"-?[0-9]{1,22}(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
near_numbers = st.text(st.sampled_from("0123456789.eE+-_ xNaInf٣\0\n"), max_size=12)
decimals = st.decimals(0, 10**9, places=9) | st.decimals(0, 1, places=12) | st.integers(0, 10**12)


def expected_value(text: str, scale: int, signed: bool) -> int | None:
    """Return the value of the text, computed with Decimal; None where it must be refused."""
    if len(text) > 96 or not PLAIN.fullmatch(text) or (text.startswith("-") and not signed):
        return None
    exponent = re.split("[eE]", text)[1:] or ["0"]
    if abs(int(exponent[0])) > 30:
        return None
    value = EXACT.scaleb(EXACT.create_decimal(text), scale)
    if value != value.to_integral_value(context=EXACT) or abs(value) > INT64_MAX:
        return None
    return int(value)


def parsed(text: str, scale: int, signed: bool) -> int | None:
    try:
        return parse_scaled(text, scale, signed=signed)
    except NumberError:
        return None


@given(numbers | near_numbers, scales, st.booleans())
@example("-0", 2, True)
@example("0.10", 1, False)
@example("1e-30", 18, False)
@example("9223372036854775807", 0, False)
@example("9223372036854775808", 0, False)
@example("1" * 40 + "." + "0" * 40, 0, False)
def test_v01_text_is_parsed_as_decimal_does_or_refused(text: str, scale: int, signed: bool) -> None:
    assert parsed(text, scale, signed) == expected_value(text, scale, signed)


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "nan", "sNaN", "Infinity", "inf", "-Infinity", "1e1000000", "1e31", "1e-31", "1_000", " 1",
        "1 ", "1\n", "+1", "0x1", "0b1", "1.", ".1", "", ".", "-", "--1", "1e", "1e+", "e5", "1.2.3", "1,5",
        "\u0661\u0662", "\uff11", "\xb2", "\xbd", "1" * 5000, "0." + "0" * 5000, "\x001", "1\x00", "None",
        "1e5.5", "1E++5", "\u22121",
    ],
)  # fmt: skip
def test_v01_text_that_is_not_a_plain_number_is_refused_by_both_parsers(text: str) -> None:
    for signed in (False, True):
        with pytest.raises(NumberError):
            parse_scaled(text, 8, signed=signed)
    with pytest.raises(NumberError):
        to_grid(text, scale=8)


@pytest.mark.parametrize("scale", [0, 2, 8, 18])
def test_v05_a_number_beyond_64_bits_is_refused(scale: int) -> None:
    most = format_scaled(INT64_MAX, scale)
    over = format_scaled(INT64_MAX + 1, scale)
    assert parse_scaled(most, scale) == to_grid(most, scale=scale) == INT64_MAX
    assert parse_scaled(f"-{most}", scale, signed=True) == -INT64_MAX
    for text in (over, "9" * 20, "1" + "0" * 39):
        with pytest.raises(NumberError):
            parse_scaled(text, scale)
        with pytest.raises(NumberError):
            to_grid(text, scale=scale)
    with pytest.raises(NumberError):
        parse_scaled(f"-{over}", scale, signed=True)


def test_a_minus_sign_is_refused_where_it_is_not_allowed() -> None:
    with pytest.raises(NumberError, match="negative"):
        parse_scaled("-1", 2)
    assert parse_scaled("-1", 2, signed=True) == -100


def test_decimals_beyond_the_scale_are_refused_and_not_rounded() -> None:
    assert parse_scaled("1.2300", 2) == 123
    with pytest.raises(NumberError, match="more than 2 decimals"):
        parse_scaled("1.234", 2)


def test_an_error_does_not_repeat_a_long_text() -> None:
    with pytest.raises(NumberError) as caught:
        parse_scaled("9" * 5000, 2)
    assert len(str(caught.value)) < 120


@given(st.integers(-INT64_MAX, INT64_MAX), scales)
def test_text_of_a_number_reads_back_as_that_number(value: int, scale: int) -> None:
    text = format_scaled(value, scale)
    assert parse_scaled(text, scale, signed=True) == value


@given(st.integers(-(10**40), 10**40), scales)
def test_text_is_exact_and_plain(value: int, scale: int) -> None:
    text = format_scaled(wide(value), scale)
    assert EXACT.create_decimal(text) == EXACT.scaleb(Decimal(value), -scale)
    assert re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", text)
    assert text != "-0"


@given(st.integers(-(10**40), 10**40))
def test_wide_returns_text_only_beyond_64_bits(value: int) -> None:
    kept = wide(value)
    assert int(kept) == value
    assert isinstance(kept, int) == (abs(value) <= INT64_MAX)


@given(st.integers(-(10**30), 10**30), st.integers(0, 9), st.integers(0, 9))
def test_rescale_is_exact(value: int, scale: int, finer: int) -> None:
    assert rescale(wide(value), scale, scale + finer) == value * 10**finer


# The venue's grid.


def is_valid_hyperliquid_price(price: Decimal, decimals_max: int) -> bool:
    """The venue's rule: an integer, or at most 5 significant figures and `decimals_max` decimals."""
    if price == price.to_integral_value():
        return True
    _, digits, exponent = price.normalize().as_tuple()
    assert isinstance(exponent, int)
    return len(digits) <= 5 and -exponent <= decimals_max


def nearest_valid(value: Decimal, decimals_max: int, up: bool) -> Decimal:
    """Return the nearest valid price on one side: an integer, or a price of 5 figures."""
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    exponent = max(value.adjusted() - 4, -decimals_max)
    with localcontext(EXACT):
        kinds = [value.quantize(Decimal(1), rounding), value.quantize(Decimal(1).scaleb(exponent), rounding)]
    kinds = [kind for kind in kinds if is_valid_hyperliquid_price(kind, decimals_max)]
    return min(kinds) if up else max(kinds)


@given(decimals, st.integers(0, 6), st.booleans())
@example(Decimal("99999.5"), 1, True)
@example(Decimal("9.99999"), 6, True)
@example(Decimal("0.000012345678"), 6, True)
@example(Decimal("123456.7"), 1, True)
@example(Decimal(0), 3, True)
def test_o20_a_price_is_rounded_to_the_nearest_valid_one(value: Decimal | int, scale: int, up: bool) -> None:
    result = to_grid(value, scale=scale, figures=5, up=up)
    price = Decimal(result).scaleb(-scale)
    assert is_valid_hyperliquid_price(price, scale)
    assert price == nearest_valid(Decimal(value), scale, up)


@given(decimals, st.integers(0, 6), st.sampled_from([0, 5]), st.sampled_from([1, 5, 25]), st.booleans())
def test_o20_rounding_is_in_one_direction_and_less_than_a_step(
    value: Decimal | int, scale: int, figures: int, step: int, up: bool
) -> None:
    result = to_grid(value, scale=scale, step=step, figures=figures, up=up)
    exact = Decimal(value).scaleb(scale, EXACT)
    size = grid_step(int(exact), scale=scale, step=step, figures=figures)
    assert 0 <= (result - exact if up else exact - result) < size
    assert result % step == 0 or figures


@given(decimals, st.integers(0, 6), st.sampled_from([0, 5]), st.booleans(), st.booleans())
def test_o20_a_value_on_the_grid_is_unchanged(
    value: Decimal | int, scale: int, figures: int, up: bool, again: bool
) -> None:
    once = to_grid(value, scale=scale, figures=figures, up=up)
    assert to_grid(Decimal(once).scaleb(-scale, EXACT), scale=scale, figures=figures, up=again) == once


@given(decimals, st.sampled_from([BUY, SELL]), st.integers(0, 6))
def test_o20_rounding_to_an_instruments_grid_never_adds_risk(
    value: Decimal | int, side: int, scale: int
) -> None:
    """A buy never pays more, a sell never takes less, and no size grows."""
    listed = InstrumentListed(0, 1, "v", "X", scale, scale, size_step=10, price_figures=5)
    exact = Decimal(value).scaleb(scale, EXACT)
    price, size = listed.price_on_grid(value, side), listed.size_on_grid(value)
    assert price <= exact if side == BUY else price >= exact
    assert size <= exact
    assert size % 10 == 0


@given(
    st.integers(1, 10**12),
    st.sampled_from([BUY, SELL]),
    st.integers(0, 9_999),
    st.integers(0, 8),
    st.sampled_from([(1, 5), (1, 0), (25, 0)]),
)
def test_o10_a_bounded_price_is_on_the_grid_within_one_step_of_the_exact_bound(
    price: int, side: int, slippage_bps: int, scale: int, grid: tuple[int, int]
) -> None:
    listed = InstrumentListed(0, 1, "v", "X", scale, 0, price_step=grid[0], price_figures=grid[1])
    exact = price * (10_000 + side * slippage_bps)
    step = listed.price_step_at(exact // 10_000)
    down, up = (listed.bounded_price(price, side, slippage_bps, up=up) for up in (False, True))
    assert step <= down or price < step
    assert 0 <= up - down <= step
    if price < down and price > step:
        assert down * 10_000 <= exact <= up * 10_000
    for bound in (down, up):
        assert bound % step == 0 or bound == price
        assert bound >= price or side == SELL


@given(st.decimals(0, 10**6, places=9), st.integers(0, 6))
def test_text_int_and_decimal_are_equivalent(value: Decimal, scale: int) -> None:
    text = format(value, "f")
    assert to_grid(text, scale=scale) == to_grid(value, scale=scale)
    assert to_grid(int(value), scale=scale) == int(value) * 10**scale


@pytest.mark.parametrize(
    "value",
    [
        1.0, 0.1, float("nan"), float("inf"), True, False, None, b"1", [1], -1, Decimal(-1), "-1", "-0.5",
        Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("1e200"),
        Decimal("1e5000"), 10**30, complex(1),
    ],
)  # fmt: skip
def test_o21_a_value_that_is_not_an_exact_number_is_refused(value: Any) -> None:
    with pytest.raises(NumberError):
        to_grid(value, scale=2)


def test_a_value_below_one_step_becomes_zero_or_one_step() -> None:
    for tiny in ("0.0001", Decimal("1e-300"), Decimal("1e-30")):
        assert to_grid(tiny, scale=2) == 0
        assert to_grid(tiny, scale=2, up=True) == 1
    assert to_grid(Decimal("0e-300"), scale=2, up=True) == 0


# Names of intervals and sides.


@given(st.integers(0, 127))
def test_power_of_ten(exponent: int) -> None:
    assert power_of_ten(exponent) == 10**exponent


def test_t05_intervals_divide_a_day_or_are_made_of_days_and_read_back() -> None:
    for name, seconds in INTERVALS.items():
        assert 86_400 % seconds == 0 or seconds % 86_400 == 0
        assert parse_interval(name) == seconds * 10**9
        assert format_interval(parse_interval(name)) == name
    assert format_interval(7 * 10**9) == "7s"
    with pytest.raises(UsageError, match="'7m' is not a bar interval; known: 1s"):
        parse_interval("7m")


def test_sides_have_names() -> None:
    assert [side_name(side) for side in (BUY, SELL, NO_SIDE)] == ["buy", "sell", ""]


def test_o20_a_negative_number_of_any_size_and_a_huge_one_are_refused() -> None:
    """Found by fuzzing: the sign was lost below 1e-96, and a huge int could not be turned into text."""
    with pytest.raises(NumberError, match="negative"):
        to_grid(Decimal("-1e-97"), scale=2, up=True)
    with pytest.raises(NumberError, match="too many digits"):
        to_grid(10**4301, scale=0)
    assert to_grid("123.4", scale=1, step=25, figures=3) % 25 == 0

"""Rendering of records: exact numbers, names, and text that is safe on a terminal."""

from __future__ import annotations

import json
import math
from decimal import Context, Decimal
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.clock import parse_iso
from engine.errors import UsageError
from engine.events import (
    EVENT_TYPES,
    ActorFailed,
    BarClosed,
    BookSampled,
    ClockJumped,
    CommandAnswered,
    DayOpened,
    EquityMarked,
    FeedDown,
    FillBooked,
    InstrumentListed,
    MarketRules,
    MidsRead,
    OperatorCommand,
    OrderFilled,
    OrderRequested,
    OrderTerms,
    ParameterSet,
    PositionChanged,
    PriceMarked,
    SessionStarted,
    SignalRaised,
    Trade,
)
from engine.events.render import Renderer, event_type, nearest_type_names
from engine.values import INT64_MAX
from tests.profiles import examples

T = 1_733_356_800_000_000_000
BTC = InstrumentListed(T, 7, "hyperliquid", "BTC", 2, 5)
EXACT = Context(prec=200)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
amounts = st.integers(-INT64_MAX, INT64_MAX) | st.integers(-(10**30), 10**30).map(str)


def exact(value: int | str, scale: int) -> Decimal:
    return Decimal(int(value)).scaleb(-scale, EXACT)


def values_for(name: str, hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values that a decoded field of this type can have."""
    if get_origin(hint) is Annotated:
        kind, note = get_args(hint)[:2]
        if note == "side":
            return st.sampled_from([1, -1, 0, 5])
        if note == "instrument":
            return st.sampled_from([7, 9])
        if note == "levels":
            whole = st.integers(0, INT64_MAX)
            return st.lists(st.tuples(whole, whole, whole), max_size=3).map(tuple)
        if note == "volumes":
            parts = len(get_args(get_args(kind)[0])) - 1
            return st.lists(st.tuples(st.integers(0, INT64_MAX), *[amounts] * parts), max_size=3).map(tuple)
        if kind == int | str | None:
            return st.none() | amounts
        return amounts if kind == int | str else st.integers(-INT64_MAX, INT64_MAX)
    if hint is int:
        return st.integers(0, 18) if name.endswith(("scale", "finer")) else st.integers(0, INT64_MAX)
    if hint is bool:
        return st.booleans()
    if hint is float:
        return st.floats()
    if hint == float | None:
        return st.none() | st.floats()
    if hint is bytes:
        return st.binary(max_size=20)
    if hint is str:
        return texts
    if hint == int | str:
        return st.integers(0, INT64_MAX) | texts
    if hint == tuple[int, ...]:
        return st.lists(st.integers(0, 99), max_size=3).map(tuple)
    if hint == tuple[int | str, ...]:
        return st.lists(amounts, max_size=3).map(tuple)
    if hint in (OrderTerms, MarketRules):
        return events(hint)
    if hint == SessionStarted | None:
        return st.none() | events(SessionStarted)
    if hint == tuple[InstrumentListed, ...]:
        return st.lists(events(InstrumentListed), max_size=3).map(tuple)
    return st.lists(st.tuples(texts, texts, texts), max_size=3).map(tuple)


@st.composite
def events(draw: st.DrawFn, *types: Any) -> Any:
    cls = draw(st.sampled_from(types or EVENT_TYPES))
    hints = get_type_hints(cls, include_extras=True)
    return cls(*(draw(values_for(name, hints[name])) for name in cls.__struct_fields__))


def test_a_record_is_an_object_with_its_keys_in_order():
    shown = Renderer([BTC]).as_json(12, 7, Trade(T + 5, T, 7, 4305997, 50_000, 1, "a"))
    assert shown == {
        "seq": 12,
        "cause": 7,
        "type": "Trade",
        "at": "2024-12-05T00:00:00.000000005Z",
        "at_ns": T + 5,
        "recv_ns": T + 5,
        "venue_ns": T,
        "instrument": "BTC",
        "price": "43059.97",
        "size": "0.5",
        "aggressor": "buy",
        "trade_id": "a",
    }
    assert list(shown)[:5] == ["seq", "cause", "type", "at", "at_ns"]
    assert list(shown)[5:] == list(Trade.__struct_fields__)


@examples(10)  # so that most runs see every type of event
@given(events())
@example(BarClosed(T, 7, 60 * 10**9, T, 1, 2, 3, 4, str(2**70), 5, "trade"))
@example(MidsRead(T, 0, (0,), ()))
@example(BookSampled(T, 7, 1, 0, 0, 0, 0.0, math.inf))
def test_every_event_can_be_rendered_and_its_numbers_are_exact(event):
    renderer = Renderer([BTC])
    shown = renderer.as_json(3, 1, event)
    line = renderer.as_text(3, 1, event)
    json.dumps(shown, allow_nan=False)
    assert line.isprintable()
    assert type(event).__name__ in line
    assert parse_iso(str(shown["at"])) == shown["at_ns"] == getattr(event, event.__struct_fields__[0])
    hints = get_type_hints(type(event), include_extras=True)
    listed = getattr(event, "instrument", None) == 7 and not isinstance(event, InstrumentListed)
    for name, hint in hints.items():
        note = get_args(hint)[1] if get_origin(hint) is Annotated else ""
        finer = getattr(event, "finer", 0)
        scale = {"price": 2 + finer, "size": 5, "money": 7 + finer}.get(note)
        if note == "scaled":
            scale, known = event.scale, True
        else:
            known = listed
        if note == "levels":
            assert [level[2] for level in shown[name]] == [level[2] for level in getattr(event, name)]
        if note == "volumes":
            whole = getattr(event, name)
            for level, shown_level in zip(whole, shown[name], strict=True):
                scales = [2, *[5] * (len(level) - 1)]
                exactly = [exact(part, one) for part, one in zip(level, scales, strict=True)]
                assert (
                    ([Decimal(part) for part in shown_level] == exactly)
                    if listed
                    else shown_level == [*level]
                )
        if scale is not None and getattr(event, name) is not None:
            text = shown[name]
            assert (
                text == getattr(event, name)
                if not known
                else Decimal(text) == exact(getattr(event, name), scale)
            )
            if known:
                assert "E" not in text


@given(price=st.integers(0, INT64_MAX), price_scale=st.integers(0, 18), size_scale=st.integers(0, 18))
def test_prices_and_money_are_exact_decimal_text(price, price_scale, size_scale):
    renderer = Renderer([InstrumentListed(T, 1, "v", "X", price_scale, size_scale)])
    fee = str(price * 10**12)
    shown = renderer.as_json(2, 1, OrderFilled(T, T, "0x1", 1, -1, price, price, fee, "maker", 1))
    assert Decimal(shown["price"]) == exact(price, price_scale)
    assert Decimal(shown["size"]) == exact(price, size_scale)
    assert Decimal(shown["fee"]) == exact(fee, price_scale + size_scale)
    assert shown["side"] == "sell"


def test_equity_is_at_its_own_scale():
    shown = Renderer().as_json(2, 1, EquityMarked(T, 4, 1, -20_000, 3, "100000000"))
    assert (shown["realized"], shown["unrealized"], shown["equity"]) == ("0.0001", "-2", "10000")


def test_s14_a_scale_that_no_engine_records_leaves_the_number_as_it_is():
    """A journal can be made by an attacker: 10**11 decimals would not fit into memory."""
    shown = Renderer().as_json(2, 1, EquityMarked(T, 10**11, 1, -20_000, 3, "100000000"))
    assert (shown["realized"], shown["equity"]) == (1, "100000000")
    shown = Renderer([BTC]).as_json(2, 1, PositionChanged(T, "ema", 7, 3, 5, 1, 2, 10**11))
    assert (shown["cost"], shown["size"]) == (5, "0.00003")


def test_the_renderer_learns_instruments_from_records():
    renderer = Renderer()
    mark = PriceMarked(T, 7, 4305997)
    assert renderer.as_json(1, 0, mark)["instrument"] == "#7"
    assert renderer.as_json(1, 0, mark)["price"] == 4305997
    assert "#7" in renderer.as_text(1, 0, mark)
    listed = renderer.as_json(2, 0, BTC)
    assert (listed["instrument"], listed["name"]) == (7, "BTC")
    assert renderer.as_json(3, 0, mark)["instrument"] == "BTC"
    for learn in (lambda r: r.see(BTC), lambda r: r.learn([BTC]), lambda r: r.as_text(1, 0, BTC)):
        other = Renderer()
        learn(other)
        assert other.as_json(3, 0, mark)["price"] == "43059.97"


def test_a_new_grid_applies_from_its_listing_on():
    renderer = Renderer([BTC])
    mark = PriceMarked(T, 7, 4305997)
    renderer.see(InstrumentListed(T, 7, "hyperliquid", "BTC", 4, 5))
    assert renderer.as_json(3, 0, mark)["price"] == "430.5997"


def test_a_snapshot_is_shown_as_its_length_and_hash():
    shown = Renderer().as_json(1, 0, DayOpened(T, "2024-12-05", b"abc"))
    assert shown["snapshot"] == {
        "bytes": 3,
        "blake2b": "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
    }
    assert "3 bytes" in Renderer().as_text(1, 0, DayOpened(T, "2024-12-05", b"abc"))


RULES = msgspec.structs.asdict(MarketRules())


def test_the_opening_of_a_day_shows_its_session_and_its_instruments():
    started = SessionStarted(T, "aa" * 8, "paper", "1", "s", "c", (("Mine", "mine:Mine", "h"),), "{}")
    opened = DayOpened(T, "2024-12-05", b"abc", started, (BTC,))
    shown = Renderer().as_json(1, 0, opened)
    assert shown["started"] == msgspec.structs.asdict(started)
    assert shown["instruments"] == [msgspec.structs.asdict(BTC) | {"rules": RULES}]
    json.dumps(shown)
    assert msgspec.json.decode(msgspec.json.encode(shown))["instruments"][0]["name"] == BTC.name
    text = Renderer().as_text(1, 0, opened)
    assert text.endswith(f"started {'aa' * 8}  instruments {BTC.name}")


CLASHES = {
    ActorFailed: ["seq"],
    OrderFilled: ["cause"],
    FillBooked: ["cause"],
    ClockJumped: ["cause"],
    CommandAnswered: ["seq"],
    ParameterSet: ["seq"],
}


def test_a_field_with_the_name_of_a_record_key_is_prefixed():
    shown = Renderer().as_json(9, 8, ActorFailed(T, "ema", 5, "boom", "halt"))
    assert (shown["seq"], shown["event_seq"]) == (9, 5)
    fill = OrderFilled(T, T, "", 7, -1, 4305997, 1000, 0, "taker", 99, cause="liquidation")
    shown = Renderer().as_json(9, 8, fill)
    assert (shown["cause"], shown["event_cause"]) == (8, "liquidation")
    for cls in EVENT_TYPES:
        names = [
            name for name in cls.__struct_fields__[1:] if name in ("seq", "cause", "type", "at", "at_ns")
        ]
        assert names == CLASHES.get(cls, []), "a new name clash: check how it is shown"


def test_a_line_shows_fields_that_differ_from_their_default():
    renderer = Renderer([BTC])
    fill = OrderFilled(T, T, "0x1", 7, -1, 4305997, 1000, -12345, "maker", 99)
    assert renderer.as_text(4, 3, fill) == (
        "2024-12-05T00:00:00.000000000Z  #4 <- #3  OrderFilled  client order id 0x1  BTC  sell  "
        "price 43059.97  size 0.01  fee -0.0012345  liquidity maker  trade id 99"
    )
    request = OrderRequested(T, "ema", 7, OrderTerms(1, 50_000, handle="ema-1"), "crossed up")
    assert renderer.as_text(5, 0, request) == (
        "2024-12-05T00:00:00.000000000Z  #5  OrderRequested  ema  BTC  buy  size 0.5  limit none (market)  "
        'handle ema-1  reason "crossed up"'
    )


def test_a_line_shows_what_a_person_asked_and_what_is_left():
    renderer = Renderer([BTC])
    asked = OperatorCommand(T, "order", "BTC", "", "page:1", "n", (("side", "buy"), ("size", "0.5")))
    assert renderer.as_text(4, 0, asked).endswith("nonce n  arguments side buy, size 0.5")
    answer = CommandAnswered(T, 4, "n", "flatten", "working", left=(("Long", "BTC", "0.5"),))
    assert "left Long BTC 0.5" in renderer.as_text(5, 4, answer)


HOSTILE = {
    "escape": ("\x1b[31mred", "\\x1b[31mred"),
    "nul": ("a\x00b", "a\\x00b"),
    "line": ("a\r\nb", "a\\r\\nb"),
    "c1": ("\x9b2J", "\\x9b2J"),
    "bidi": ("\u202egnp", "\\u202egnp"),
    "separator": ("a\u2028b", "a\\u2028b"),
    "surrogate": ("\ud800", "\\ud800"),
}


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_control_characters_are_escaped_in_lines_and_kept_in_json(text, shown):
    """V06."""
    event = FeedDown(T, text, text)
    line = Renderer().as_text(1, 0, event)
    assert line.isprintable()
    assert line.count(shown) == 2
    assert Renderer().as_json(1, 0, event)["reason"] == text


def test_a_megabyte_of_text_is_cut_in_a_line_and_kept_in_json():
    """V06."""
    event = OperatorCommand(T, "stop", "", "x" * 1_000_000)
    line = Renderer().as_text(1, 0, event)
    assert len(line) < 400
    assert "(1000000 characters)" in line
    assert Renderer().as_json(1, 0, event)["detail"] == event.detail


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_nan_and_infinity_are_text(value):
    shown = Renderer([BTC]).as_json(1, 0, SignalRaised(T, "ema", 7, "z", value))
    assert shown["value"] == str(value)
    assert msgspec.json.decode(msgspec.json.encode(shown))["value"] == str(value)


def test_types_are_found_by_class_name_or_tag_in_any_case():
    for cls in EVENT_TYPES:
        for name in (cls.__name__, cls.__name__.lower(), cls.__struct_config__.tag, f" {cls.__name__} "):
            assert event_type(name) is cls


def test_an_unknown_type_is_refused_with_the_nearest_names():
    assert nearest_type_names("OrderFiled")[0] == "OrderFilled"
    with pytest.raises(UsageError, match="did you mean Trade"):
        event_type("Trad")
    with pytest.raises(UsageError, match="known: AccountAdjusted AccountMarked AccountRead"):
        event_type("\x1b[2J" + "z" * 10_000)
    with pytest.raises(UsageError) as caught:
        event_type("\x1b[2J")
    assert "\x1b" not in str(caught.value)

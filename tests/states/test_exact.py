"""Values of the standard library, numpy and named tuples come back from a state exactly as they were."""

from __future__ import annotations

import subprocess
import sys
from collections import deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from engine.errors import JournalError, StateVersionError, UsageError
from engine.snapshot import state_classes
from engine.states import decode_state, encode_state, shapes_of, stored_state


class Point(NamedTuple):
    """A named tuple with a default."""

    x: Any
    y: Any = 0


Pair = namedtuple("Pair", "left right")


class Strict(namedtuple("Strict", "x")):  # noqa: SLOT002
    """A named tuple with code of its own, which does not run again."""

    def __new__(cls, x: int) -> Strict:
        if x < 0:
            raise ValueError("negative")
        return super().__new__(cls, x)


@dataclass
class Loose:
    """A dataclass, to which attributes can be added that are not fields."""

    x: int
    seen: list[int] = field(default_factory=list)

    @cached_property
    def doubled(self) -> int:
        return 2 * self.x


CLASSES = state_classes([__name__])

offsets = st.timedeltas(
    timedelta(hours=-24) + timedelta.resolution, timedelta(hours=24) - timedelta.resolution
)
zones = (
    st.none()
    | st.just(UTC)
    | st.builds(timezone, offsets)
    | st.builds(timezone, offsets, st.text(st.characters(codec="utf-8"), max_size=3))
)
times = (
    st.decimals()
    | st.sampled_from(
        [Decimal("-0"), Decimal("1.500"), Decimal("1E+3"), Decimal("-sNaN12"), Decimal("-Infinity")]
    )
    | st.timedeltas()
    | st.dates()
    | zones.filter(lambda zone: zone is not None)
    | st.builds(
        lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
        st.datetimes(),
        zones,
        st.integers(0, 1),
    )
    | st.builds(
        lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
        st.times(),
        zones,
        st.integers(0, 1),
    )
)
dtypes = (
    npst.boolean_dtypes()
    | npst.integer_dtypes(endianness="?")
    | npst.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | npst.complex_number_dtypes(endianness="?", sizes=(64, 128))
    | npst.datetime64_dtypes(endianness="?")
    | npst.timedelta64_dtypes(endianness="?")
    | npst.unicode_string_dtypes(max_len=4)
    | npst.byte_string_dtypes(max_len=4)
)
arrays = dtypes.flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
laid_out = st.builds(
    lambda array, way: [array, np.asfortranarray(array), array.T, array[::-1] if array.ndim else array][way],
    arrays,
    st.integers(0, 3),
)
numpy_values = laid_out | dtypes.flatmap(npst.from_dtype)
hashable = (
    st.integers()
    | st.text(st.characters(codec="utf-8"), max_size=3)
    | times.filter(lambda value: not (isinstance(value, Decimal) and value.is_snan()))
)
members = st.recursive(
    hashable,
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3) | st.builds(Point, inner, inner),
    max_leaves=6,
)
values = st.recursive(
    times | numpy_values | members | st.sets(members, max_size=4) | st.frozensets(members, max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.builds(Point, inner, inner)
        | st.builds(Pair, inner, inner)
        | st.dictionaries(members, inner, max_size=3)
        | st.builds(deque, st.lists(inner, max_size=3))
    ),
    max_leaves=8,
)


def exactly(value: Any) -> Any:
    """Return a value with all that `==` does not compare: types, bytes, folds, zones, order in memory."""
    kind = type(value)
    if kind in (set, frozenset):
        return kind, sorted(repr(exactly(item)) for item in value)
    if isinstance(value, tuple | list | deque):
        return kind, [exactly(item) for item in value]
    if kind is dict:
        return kind, [(exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, np.str_ | np.bytes_):
        return kind, repr(value)
    if isinstance(value, np.ndarray | np.generic):
        flags = (value.flags.c_contiguous or not value.flags.f_contiguous, value.flags.writeable)
        return kind, value.dtype.str, value.dtype.char, value.shape, flags[0], value.tobytes(), str(value)
    if isinstance(value, datetime | time):
        return kind, repr(value), value.fold, exactly(value.tzinfo)
    if isinstance(value, Decimal):
        return kind, value.as_tuple()
    return kind, repr(value)


@given(values)
@example([{"a", "b", ("c", 1)}, frozenset({frozenset(), frozenset({1})}), set()])
@example([np.float64(-0.0), np.float32("nan"), np.array(5), np.zeros((0, 3)), np.int8(1), np.bool_(True)])
@example(
    [
        datetime(2024, 10, 27, 2, 30, fold=1),  # noqa: DTZ001
        datetime(2024, 10, 27, tzinfo=timezone(timedelta(hours=1), "CET")),
    ]
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    blob = encode_state(value, "Mine")
    found = decode_state(blob, CLASSES)
    assert exactly(found) == exactly(value)
    assert encode_state(found, "Mine") == blob
    stored_state({"kept": value}, "Mine", CLASSES)


def test_an_array_that_comes_back_can_be_changed_and_resized() -> None:
    found = decode_state(encode_state(np.arange(3.0), "Mine"), {})
    found[0] = 7.0
    found.resize(5)
    assert found.tolist() == [7.0, 1.0, 2.0, 0.0, 0.0]


def test_a_set_has_the_same_bytes_whatever_the_hash_seed() -> None:
    code = (
        "from engine.states import encode_state\n"
        "names = {f'name {i}' for i in range(50)}\n"
        "print(encode_state({'a': names, 'b': frozenset((n, 1) for n in names)}, 'x').hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(found) == 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Zurich")), "ZoneInfo"),
        (ZoneInfo("UTC"), "ZoneInfo"),
        (np.array([{}], dtype=object), "ndarray"),
        (np.zeros(1, dtype=[("a", "i4")]), "ndarray"),
        (np.longdouble(1), "longdouble"),
        (np.zeros(2, dtype=np.longdouble), "ndarray"),
        (np.ma.array([1]), "MaskedArray"),
        ({1: {complex(1)}}, "complex"),
        (type("Later", (datetime,), {})(2024, 1, 1), "Later"),
    ],
)
def test_what_would_not_come_back_is_refused_by_name(value: Any, kind: str) -> None:
    with pytest.raises(UsageError, match=rf"^Mine\.kept(\.1)? is a {kind}, which a snapshot cannot store"):
        encode_state({"kept": value}, "Mine")


def test_code_of_a_named_tuple_does_not_run_again() -> None:
    kept = tuple.__new__(Strict, [-1])
    assert exactly(decode_state(encode_state(kept, "Mine"), CLASSES)) == exactly(kept)


def test_a_named_tuple_follows_new_fields_with_a_default_and_reports_others() -> None:
    name = f"{__name__}:Point"
    blob = encode_state(Point(1, 2), "Mine")
    shapes = shapes_of(blob, CLASSES)
    assert shapes == {name: [("x", "Any"), ("y", "Any")]}
    earlier = msgspec.msgpack.encode(["s", name, [5]])
    assert decode_state(earlier, CLASSES, {name: shapes[name][:1]}) == Point(5, 0)
    with pytest.raises(StateVersionError, match="did not have the field 'x', which has no default"):
        decode_state(earlier, CLASSES, {name: shapes[name][1:]})


def test_an_attribute_that_is_not_a_field_is_refused_since_it_would_be_lost() -> None:
    kept = Loose(3)
    assert kept.doubled == 6
    assert stored_state(kept, "Mine", CLASSES) == kept, "a cached property is computed again"
    kept.more = 5  # type: ignore[attr-defined]
    with pytest.raises(
        UsageError, match=r"Mine\.kept\.more is not a field of Loose, so a snapshot would lose it"
    ):
        encode_state({"kept": kept}, "Mine")
    named = Strict(1)
    named.more = 5  # type: ignore[attr-defined]
    with pytest.raises(UsageError, match=r"Mine\.more is not a field of Strict"):
        encode_state(named, "Mine")


def test_text_that_is_not_unicode_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"Mine holds 'a\\ud800', which is not text that can be stored"):
        encode_state({"kept": "a\ud800"}, "Mine")


@given(
    st.sampled_from("DSFmacezNn"),
    st.lists(
        st.integers()
        | st.text(max_size=3)
        | st.binary(max_size=9)
        | st.none()
        | st.lists(st.integers(-9, 9999), max_size=8),
        max_size=4,
    ),
)
@example("N", ["|O", [1], "C", b"x" * 8])
@example("N", ["<f8", [10**18], "C", b""])
@example("N", ["<f8", [-1], "C", b"12345678"])
@example("n", ["|O", b"12345678"])
@example("D", ["1E999999999999999999999"])
@example("e", [10**12, 0, 0])
def test_any_packed_value_is_one_that_was_packed_or_an_error(kind: str, parts: list[Any]) -> None:
    try:
        found = decode_state(msgspec.msgpack.encode([kind, *parts]) if _fits(parts) else b"", {})
    except JournalError:
        return
    encode_state(found, "Mine")


def _fits(parts: list[Any]) -> bool:
    """Return whether msgpack can hold all numbers."""
    numbers = [one for part in parts for one in (part if isinstance(part, list) else [part])]
    return all(-(2**63) <= one < 2**64 for one in numbers if isinstance(one, int))


def test_a_date_is_not_a_datetime() -> None:
    assert type(decode_state(encode_state(date(2024, 1, 2), "x"), {})) is date

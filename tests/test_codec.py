"""Events to bytes and back: nothing is lost, unknown types are refused, the schema has one fingerprint."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import JournalVersionError
from engine.events import COMMANDS, EVENT_TYPES, REPORTS, ClockAdvanced, SessionStarted, SignalRaised, Trade
from engine.events.base import Event, engine_time
from engine.events.codec import (
    decode_derived,
    decode_inputs,
    encode_derived,
    encode_inputs,
    in_order,
    schema_fingerprint,
)
from engine.events.legacy import OLD_TYPES
from engine.values import INT64_MAX, Size
from tests.profiles import examples

ROOT = Path(__file__).resolve().parents[1]

texts = st.text(st.characters(codec="utf-8"), max_size=12)
int64 = st.integers(-INT64_MAX, INT64_MAX) | st.sampled_from([INT64_MAX, -INT64_MAX, 0])


def values_for(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if hint == int | str | None:
        return st.none() | values_for(int | str)
    if hint in (int | None, Size | None):
        return st.none() | int64
    if hint == float | None:
        return st.none() | st.floats()
    if hint == SessionStarted | None:
        return st.none() | events_of(SessionStarted)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return events_of(hint)
    if get_origin(hint) is tuple and get_args(hint)[-1] is Ellipsis:
        return st.lists(values_for(get_args(hint)[0]), max_size=2).map(tuple)
    if get_origin(hint) is tuple:
        return st.tuples(*map(values_for, get_args(hint)))
    if hint == int | str:
        return int64 | st.integers(10**20, 10**40).map(str) | texts
    plain: dict[Any, st.SearchStrategy[Any]] = {
        int: int64,
        bool: st.booleans(),
        float: st.floats(),
        bytes: st.binary(max_size=20),
        str: texts,
    }
    return plain[hint]


def events_of(cls: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(cls, *(values_for(hints[field]) for field in cls.__struct_fields__))


any_event = st.one_of([events_of(cls) for cls in EVENT_TYPES])


def bits(event: Event) -> list[Any]:
    """Return an event's class and fields, floats as bytes: NaN equals itself, and 0.0 differs from -0.0."""
    fields = (getattr(event, name) for name in event.__struct_fields__)
    return [type(event), *(struct.pack("<d", one) if isinstance(one, float) else one for one in fields)]


@pytest.mark.parametrize("cls", EVENT_TYPES, ids=lambda cls: cls.__name__)
def test_every_event_type_round_trips(cls: type[Event]) -> None:
    @examples(0.5)
    @given(events_of(cls))
    def round_trip(event: Event) -> None:
        (found,) = decode_inputs(encode_inputs([event]))
        assert bits(found) == bits(event)
        assert [type(one) for one in bits(found)] == [type(one) for one in bits(event)]
        ((seq, cause, derived),) = decode_derived(encode_derived([(2**62, 2**61, event)]))
        assert (seq, cause, bits(derived)) == (2**62, 2**61, bits(event))
        assert encode_inputs([found]) == encode_inputs([event])

    round_trip()


@given(st.floats())
@example(float("nan"))
@example(struct.unpack("<d", b"\x01\0\0\0\0\0\xf8\xff")[0])
@example(-0.0)
@example(5e-324)
def test_r04_an_analytic_value_round_trips_bit_for_bit(value: float) -> None:
    (found,) = decode_inputs(encode_inputs([SignalRaised(1, "s", 1, "x", value)]))
    assert struct.pack("<d", found.value) == struct.pack("<d", value)  # type: ignore[attr-defined]
    assert math.isnan(value) or found.value == value  # type: ignore[attr-defined]


@given(st.lists(st.tuples(st.booleans(), any_event), min_size=1, max_size=12), st.integers(1, 2**60))
def test_in_order_gives_every_record_its_seq(plan: list[tuple[bool, Event]], first_seq: int) -> None:
    """Inputs take the seqs that derived records do not use; each record appears once."""
    expected = [
        (first_seq + at, 0 if is_input else first_seq + at - 1, event)
        for at, (is_input, event) in enumerate(plan)
    ]
    inputs = [event for is_input, event in plan if is_input]
    derived = [record for record, (is_input, _) in zip(expected, plan, strict=True) if not is_input]
    assert list(in_order(first_seq, inputs, derived)) == expected


def test_in_order_of_an_empty_frame_is_empty() -> None:
    assert list(in_order(1, [], [])) == []


@pytest.mark.parametrize(
    "blob",
    [
        [["no-such-tag", 1]],
        [["clock"]],
        [["clock", "text"]],
        [["clock", 1.5]],
        [["clock", None]],
        [[]],
        [{"type": "clock"}],
        "clock",
        [["trade", 1, 1, 1, 1, 1, None]],
    ],
)
def test_j25_an_unknown_or_altered_event_is_refused(blob: Any) -> None:
    with pytest.raises(JournalVersionError, match="read it with the version that wrote it"):
        decode_inputs(msgspec.msgpack.encode(blob))
    with pytest.raises(JournalVersionError):
        decode_derived(msgspec.msgpack.encode([[1, 0, one] for one in blob]))


@given(st.binary(max_size=64))
@example(b"")
@example(b"\x91\x92\xa5clock\xff")
@example(encode_inputs([ClockAdvanced(1)])[:-1])
@example(encode_inputs([ClockAdvanced(1)]) + b"\0")
@example(b"\x91" * 60_000)
def test_s14_any_bytes_decode_or_are_refused_with_one_error(blob: bytes) -> None:
    for decode in (decode_inputs, decode_derived):
        try:
            decode(blob)
        except JournalVersionError:
            pass
        else:
            assert decode in (decode_inputs, decode_derived)


def test_an_additional_field_at_the_end_is_ignored() -> None:
    """An older version can read events of a newer one that added a field with a default."""
    (found,) = decode_inputs(msgspec.msgpack.encode([["clock", 7, "new"]]))
    assert found == ClockAdvanced(7)


def test_a_missing_field_at_the_end_takes_its_default() -> None:
    (found,) = decode_inputs(msgspec.msgpack.encode([["trade", 1, 2, 3, 4, 5, 1]]))
    assert found == Trade(1, 2, 3, 4, 5, 1, 0)


def test_l12_tags_are_unique_and_every_type_is_in_the_union() -> None:
    """Tags of earlier versions stay reserved: they are read, and no event of today has them."""
    tags = [cls.__struct_config__.tag for cls in (*EVENT_TYPES, *OLD_TYPES)]
    assert len(set(tags)) == len(tags)
    assert {*COMMANDS, *REPORTS} <= set(EVENT_TYPES)

    def leaves(cls: type[Event]) -> set[type[Event]]:
        tagged = {cls} if cls.__struct_config__.tag is not None else set()
        return tagged | {one for sub in cls.__subclasses__() for one in leaves(sub)}

    ours = {cls for cls in leaves(Event) if cls.__module__.startswith("engine.")}
    assert ours == {*EVENT_TYPES, *OLD_TYPES}


@pytest.mark.parametrize("cls", EVENT_TYPES, ids=lambda cls: cls.__name__)
def test_every_event_begins_with_the_engines_time_in_a_frozen_struct(cls: type[Event]) -> None:
    assert cls.__struct_fields__[0] in ("recv_ns", "at_ns")
    assert cls.__struct_config__.frozen
    assert cls.__struct_config__.array_like
    assert (cls.__doc__ or "").strip()


def test_engine_time_is_the_first_field() -> None:
    assert engine_time(ClockAdvanced(17)) == 17


def test_no_float_carries_money_or_quantity() -> None:
    floats = {
        (cls.__name__, name)
        for cls in EVENT_TYPES
        for name, hint in get_type_hints(cls).items()
        if float in (hint, *get_args(hint))
    }
    ratios = {("BookSampled", "imbalance"), ("BookSampled", "depth_imbalance")}
    assert floats == {("SignalRaised", "value"), ("ClockAdopted", "speed")} | ratios


def test_r03_the_schema_has_one_fingerprint_under_every_hash_seed() -> None:
    program = "from engine.events.codec import schema_fingerprint as f; print(f())"
    fingerprints = {
        subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert fingerprints == {schema_fingerprint()}
    assert len(schema_fingerprint()) == 16

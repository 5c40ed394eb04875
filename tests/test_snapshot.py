"""Snapshots: what goes in comes back equal in value, type, order; nothing in one runs (S14, R08)."""

from __future__ import annotations

import struct
from collections import deque
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors.base import State
from engine.errors import JournalError, UsageError
from engine.indicators import Ema, Sma
from engine.snapshot import decode_state, encode_state, state_classes
from engine.values import INT64_MAX


class Leaf(State):
    """A record inside a state."""

    number: int
    past: Any = None


CLASSES = state_classes([__name__, "engine.indicators.moving"])

plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.binary(max_size=8)
)
keys = st.integers(-(2**66), 2**66) | st.text(max_size=4) | st.tuples(st.integers(), st.text(max_size=2))
states = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.builds(deque, st.lists(inner, max_size=4), st.none() | st.integers(0, 6))
        | st.builds(Leaf, st.integers(-(2**66), 2**66), inner)
        | st.builds(Ema, st.integers(1, 9), st.floats(), st.integers(0, 9))
    ),
    max_leaves=20,
)


def shape(value: Any) -> Any:
    """A value with its types spelled out and floats as bytes."""
    if isinstance(value, float):
        return "float", struct.pack("<d", value)
    if isinstance(value, dict):
        return "dict", [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, deque):
        return "deque", value.maxlen, [shape(item) for item in value]
    if isinstance(value, list | tuple):
        return type(value).__name__, [shape(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return type(value), [shape(getattr(value, field)) for field in value.__struct_fields__]
    return type(value).__name__, value


@given(states)
@example({1: [2**64, -(2**64)], (1, "a"): deque([float("nan"), -0.0], 2), "x": (Leaf(2**65, [()]),)})
@example(INT64_MAX + 1)
@example([True, 1, 1.0])
def test_what_goes_in_comes_back(value: Any) -> None:
    blob = encode_state(value, "actor")
    found = decode_state(blob, CLASSES)
    assert shape(found) == shape(value)
    assert encode_state(found, "actor") == blob


def test_a_dict_keeps_its_order() -> None:
    assert list(decode_state(encode_state({"b": 1, "a": 2}, "x"), {})) == ["b", "a"]


def test_a_full_deque_goes_on_dropping() -> None:
    found = decode_state(encode_state(deque([1, 2], 2), "x"), {})
    found.append(3)
    assert list(found) == [2, 3]


@pytest.mark.parametrize("value", [{1, 2}, frozenset()])
def test_r03_a_set_is_refused_by_the_name_of_its_attribute(value: Any) -> None:
    with pytest.raises(UsageError, match=r"Mine\.seen is a (frozen)?set.*keep sorted lists instead"):
        encode_state({"ok": 1, "seen": value}, "Mine")


@pytest.mark.parametrize(
    "value", [object(), len, lambda: None, complex(1), open, type, bytearray(b"x"), range(3)]
)
def test_what_a_snapshot_cannot_store_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UsageError, match=r"Mine\.deep\.0\.past is a"):
        encode_state({"deep": {0: Leaf(1, value)}}, "Mine")


def test_subclasses_of_plain_types_do_not_slip_in_as_something_else() -> None:
    """A named tuple or a bool is stored as what it equals; an enum or a str subclass reads as its value."""
    assert shape(decode_state(encode_state([True, 1], "x"), {})) == shape([True, 1])


def test_a_struct_of_a_class_that_is_not_allowed_is_refused() -> None:
    blob = encode_state(Leaf(1), "x")
    with pytest.raises(JournalError, match="replay from an earlier day"):
        decode_state(blob, {})
    with pytest.raises(JournalError):
        decode_state(blob, state_classes(["engine.indicators.moving"]))


def test_s14_nothing_in_a_snapshot_runs() -> None:
    """Only names of allowed struct classes are looked up; a class name is never imported."""
    for name in ("os:system", "builtins:eval", "engine.sequencer:Sequencer", "subprocess:Popen", "x"):
        blob = msgspec.msgpack.encode(["s", name, ["echo broken"]])
        with pytest.raises(JournalError):
            decode_state(blob, CLASSES)


@given(
    st.binary(max_size=60)
    | st.recursive(plain.filter(lambda v: not isinstance(v, int)), lambda s: st.lists(s, max_size=4)).map(
        msgspec.msgpack.encode
    )
)
@example(msgspec.msgpack.encode(["i", "9" * 5000]))
@example(msgspec.msgpack.encode(["i", "x"]))
@example(msgspec.msgpack.encode(["d", [[["l", []], 1]]]))
@example(msgspec.msgpack.encode(["q", "x", []]))
@example(msgspec.msgpack.encode(["l"]))
@example(msgspec.msgpack.encode(["l", 5]))
@example(msgspec.msgpack.encode(["s", "engine.indicators.moving:Ema", []]))
@example(msgspec.msgpack.encode(["s", "engine.indicators.moving:Ema", [1, 2, 3, 4, 5]]))
def test_r08_any_bytes_are_a_state_or_one_declared_error(blob: bytes) -> None:
    try:
        found = decode_state(blob, CLASSES)
    except JournalError:
        return
    assert not callable(found)


def test_a_snapshot_nested_without_end_is_refused() -> None:
    deep: Any = ["l", []]
    for _ in range(400):
        deep = ["l", [deep]]
    blob = msgspec.msgpack.encode(deep)
    for _ in range(3):
        blob = blob.replace(b"\x92\xa1l\x90", blob)
    with pytest.raises(JournalError):
        decode_state(blob, CLASSES)


def test_a_state_that_holds_itself_is_refused_by_name() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match="Mine is nested too deep, or holds itself"):
        encode_state({"loop": endless}, "Mine")


def test_state_classes_are_the_structs_a_module_shows() -> None:
    assert CLASSES["engine.indicators.moving:Ema"] is Ema
    assert CLASSES["engine.indicators.moving:Sma"] is Sma
    assert CLASSES[f"{__name__}:Leaf"] is Leaf
    assert all(issubclass(cls, msgspec.Struct) for cls in CLASSES.values())


def test_a_struct_that_shares_a_default_does_not_share_it_after_restoring() -> None:
    one, other = decode_state(encode_state([Sma(2), Sma(2)], "x"), CLASSES)
    one.update(1.0)
    assert other.values == []

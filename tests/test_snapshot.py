"""Decoded states are equal in value, type and order, and decoding runs no code (S14, R08)."""

from __future__ import annotations

import struct
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal, Optional

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.actors.base import State
from engine.errors import JournalError, StateVersionError, UsageError
from engine.indicators import Ema, Sma
from engine.snapshot import state_classes
from engine.states import decode_state, encode_fields, encode_state, evolution, holds, shapes_of, stored_state
from engine.values import INT64_MAX


class Leaf(State):
    """A record inside a state."""

    number: int
    past: Any = None


class Side(StrEnum):
    """An enum."""

    LONG = "long"


class Outer(msgspec.Struct, kw_only=True):
    """A struct with keyword-only fields and a nested class."""

    class Inner(msgspec.Struct):
        """A nested class."""

        count: int

    inner: Inner


@dataclass
class Counting:
    """A dataclass that computes a field."""

    first: int
    seen: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.seen += self.first


class Growing(msgspec.Struct):
    """A struct that changes whenever it is built."""

    count: int

    def __post_init__(self) -> None:
        self.count += 1


class Before(State):
    """A state of an earlier version."""

    number: int
    text: str = ""


class After(State):
    """The same state, which has gained a field."""

    number: int
    text: str = ""
    past: list[int] = []


@dataclass
class Typed:
    """Types that are not text, one of them with an object that has an address."""

    plain: int
    union: Optional[int]  # noqa: UP045
    noted: Annotated[dict[str, list[int]], object()]
    choice: Literal["a", 1] = 1


Typed.__annotations__ = {
    "plain": int,
    "union": Optional[int],  # noqa: UP045
    "noted": Annotated[dict[str, list[int]], object()],
    "choice": Literal["a", 1],
}

CLASSES = state_classes([__name__, "engine.indicators.moving"])
BEFORE, AFTER = f"{__name__}:Before", f"{__name__}:After"

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


def typed(value: Any) -> Any:
    """Return a value with its types as text and its floats as bytes."""
    if isinstance(value, float):
        return "float", struct.pack("<d", value)
    if isinstance(value, dict):
        return "dict", [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, deque):
        return "deque", value.maxlen, [typed(item) for item in value]
    if isinstance(value, list | tuple):
        return type(value).__name__, [typed(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return type(value), [typed(getattr(value, field)) for field in value.__struct_fields__]
    return type(value).__name__, value


@given(states)
@example({1: [2**64, -(2**64)], (1, "a"): deque([float("nan"), -0.0], 2), "x": (Leaf(2**65, [()]),)})
@example(INT64_MAX + 1)
@example([True, 1, 1.0])
def test_a_state_round_trips(value: Any) -> None:
    blob = encode_state(value, "actor")
    found = decode_state(blob, CLASSES)
    assert typed(found) == typed(value)
    assert encode_state(found, "actor") == blob


def test_a_dict_keeps_its_order() -> None:
    assert list(decode_state(encode_state({"b": 1, "a": 2}, "x"), {})) == ["b", "a"]


def test_a_full_deque_stays_bounded() -> None:
    found = decode_state(encode_state(deque([1, 2], 2), "x"), {})
    found.append(3)
    assert list(found) == [2, 3]


@pytest.mark.parametrize(
    "value", [object(), len, lambda: None, complex(1), open, type, bytearray(b"x"), range(3)]
)
def test_what_a_snapshot_cannot_store_is_refused_by_name(value: Any) -> None:
    with pytest.raises(UsageError, match=r"Mine\.deep\.0\.past is a"):
        encode_state({"deep": {0: Leaf(1, value)}}, "Mine")


def test_a_bool_is_not_stored_as_the_number_it_equals() -> None:
    assert typed(decode_state(encode_state([True, 1], "x"), {})) == typed([True, 1])


class Text(str):
    """A subclass of str."""

    __slots__ = ()


class Members(set[int]):
    """A subclass of set."""


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (defaultdict(int), "dict"),
        (Counter("a"), "dict"),
        (OrderedDict(), "dict"),
        (Text("a"), "str"),
        (Members({1}), "set"),
    ],
)
def test_r07_a_value_that_would_be_restored_with_another_type_is_refused(value: Any, plain: str) -> None:
    with pytest.raises(UsageError, match=rf"Mine\.past is a .*; {plain}\(\.\.\.\) makes a plain one of it"):
        encode_state({"past": value}, "Mine")


def test_enums_nested_classes_and_computed_fields_round_trip() -> None:
    held = Counting(3)
    held.seen = 8
    state = [Side.LONG, Outer(inner=Outer.Inner(2)), held]
    found = stored_state(state, "Mine", CLASSES)
    assert found == state
    assert found[0] is Side.LONG


def test_r07_a_state_that_does_not_round_trip_is_refused_before_midnight() -> None:
    with pytest.raises(UsageError, match="Mine changes when it comes back from a snapshot"):
        stored_state([Growing(1)], "Mine", CLASSES)
    hidden = msgspec.defstruct("Hidden", [("x", int)])
    with pytest.raises(UsageError, match=r"Mine holds a .*:Hidden, which a snapshot would not find again"):
        stored_state([hidden(1)], "Mine", CLASSES)


def test_a_struct_of_a_class_that_is_not_allowed_is_refused() -> None:
    blob = encode_state(Leaf(1), "x")
    with pytest.raises(
        JournalError, match=r"state of an older version: there is no class tests\.test_snapshot:Leaf"
    ):
        decode_state(blob, {})
    with pytest.raises(JournalError):
        decode_state(blob, state_classes(["engine.indicators.moving"]))


def test_s14_a_snapshot_runs_no_code() -> None:
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


def test_a_snapshot_that_is_nested_too_deep_is_refused() -> None:
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


def test_state_classes_are_the_public_structs_of_a_module() -> None:
    assert CLASSES["engine.indicators.moving:Ema"] is Ema
    assert CLASSES["engine.indicators.moving:Sma"] is Sma
    assert CLASSES[f"{__name__}:Leaf"] is Leaf
    assert CLASSES[f"{__name__}:Outer.Inner"] is Outer.Inner
    assert CLASSES[f"{__name__}:Side"] is Side
    assert not any(name.startswith(("builtins:", "os:")) for name in CLASSES)


def test_a_struct_that_shares_a_default_does_not_share_it_after_restoring() -> None:
    one, other = decode_state(encode_state([Sma(2), Sma(2)], "x"), CLASSES)
    one.update(1.0)
    assert other.values == []


# Evolution.


def as_after(value: Any) -> bytes:
    """Return a `Before` as an earlier version stored it under the name of `After`."""
    tree = msgspec.msgpack.decode(encode_state(value, "x"))
    tree[1] = AFTER
    return msgspec.msgpack.encode(tree)


def test_a_new_field_takes_its_default_and_does_not_share_it() -> None:
    one, other = (decode_state(as_after(Before(7, "a")), CLASSES) for _ in range(2))
    assert one == After(7, "a", [])
    one.past.append(1)
    assert other.past == []


def test_a_removed_field_is_reported_with_and_without_shapes() -> None:
    tree = msgspec.msgpack.decode(encode_state(After(1), "x"))
    tree[1] = BEFORE
    blob = msgspec.msgpack.encode(tree)
    with pytest.raises(StateVersionError, match=r"Before had 3 fields, it has 2"):
        decode_state(blob, CLASSES)
    shapes = {BEFORE: shapes_of(encode_state(After(1), "x"), CLASSES)[AFTER]}
    with pytest.raises(StateVersionError, match=r"Before had the field 'past', it has not any more"):
        decode_state(blob, CLASSES, shapes)


def test_a_missing_member_of_an_enum_is_a_state_of_an_older_version() -> None:
    blob = encode_state(Side.LONG, "x").replace(b"LONG", b"FLAT")
    with pytest.raises(StateVersionError, match=r"Side has no member 'FLAT'"):
        decode_state(blob, CLASSES)


def test_shapes_have_the_same_text_in_every_process() -> None:
    classes = state_classes([__name__])
    (shape,) = shapes_of(encode_state(Typed(1, None, {}), "x"), classes).values()
    assert shape == [
        ("plain", "int"),
        ("union", "Union[int, NoneType]"),
        ("noted", "dict[str, list[int]]"),
        ("choice", "Literal['a', '1']"),
    ]


numbers = st.lists(st.integers(0, 3), max_size=3)


@given(st.builds(After, st.integers(), st.text(max_size=3), numbers), st.integers(), numbers)
@example(After(-(2**63) - 1, "", []), 2**64, [])
def test_a_state_contains_its_earlier_version_without_the_new_fields(
    value: After, other: int, extra: list[int]
) -> None:
    """It does not contain a state with another value or another item."""
    blob = encode_state({"a": [value, extra], "new": 1}, "x")
    shapes = shapes_of(blob, CLASSES)
    earlier = {AFTER: shapes[AFTER][:2]}
    tree = msgspec.msgpack.decode(encode_state({"a": [value, extra]}, "x"))
    struct = tree[1][0][1][1][0]
    del struct[2][2:]
    assert holds(blob, msgspec.msgpack.encode(tree), shapes, earlier)
    assert holds(blob, msgspec.msgpack.encode(tree), shapes, {})
    struct[2][0] = msgspec.msgpack.decode(encode_state(other, "x"))
    assert holds(blob, msgspec.msgpack.encode(tree), shapes, earlier) == (other == value.number)
    struct[2][0] = msgspec.msgpack.decode(encode_state(value.number, "x"))
    tree[1][0][1][1][1][1].append(9)
    assert not holds(blob, msgspec.msgpack.encode(tree), shapes, earlier)


@given(names=st.lists(st.text(alphabet="ab.:é", min_size=1, max_size=300), min_size=1, max_size=8))
def test_the_classes_of_a_state_are_found_in_its_bytes_in_their_order(names: list[str]) -> None:
    """As a reader of the decoded tree finds them, for names of any size."""
    tree: list[Any] = ["d", [[1, 2]]]
    for name in names:
        tree = ["l", [["s", name, [tree, "s", b"\x93", 0x93, -1.5]], ["t", [name]]]]
    blob = msgspec.msgpack.encode(tree)
    assert list(evolution._classes_in(blob)) == list(dict.fromkeys(reversed(names)))


@given(
    st.dictionaries(
        st.text(max_size=40), st.integers() | st.lists(st.text(max_size=3), max_size=3), max_size=15
    )
)
def test_fields_that_are_encoded_one_by_one_are_those_encoded_together(fields: dict[str, Any]) -> None:
    parts = {name: encode_state(value, "x") for name, value in fields.items()}
    assert encode_fields(parts) == encode_state(fields, "x")

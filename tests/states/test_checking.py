"""The cheap check of a strategy's state finds what storing it would refuse."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.indicators import Ema
from engine.snapshot import state_classes
from engine.states import StateCheck


class Leaf(msgspec.Struct):
    """A struct of a strategy."""

    past: Any


class Growing(msgspec.Struct):
    """A struct that changes whenever it is built."""

    count: int

    def __post_init__(self) -> None:
        self.count += 1


@dataclass
class Loose:
    """A dataclass."""

    past: Any


class Point(NamedTuple):
    """A named tuple."""

    past: Any


CLASSES = state_classes([__name__, "engine.indicators.moving"])
ZURICH = ZoneInfo("Europe/Zurich")


def looped() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def lost() -> Loose:
    value = Loose(1)
    value.more = 2  # type: ignore[attr-defined]
    return value


BAD: list[Any] = [
    complex(1),
    len,
    object(),
    {1: object()},
    datetime(2024, 1, 1, tzinfo=ZURICH),
    np.array([object()]),
    Growing(1),
    lost(),
    msgspec.defstruct("Hidden", [("x", int)])(1),
    looped(),
    range(3),
]
GOOD: list[Any] = [
    *(None, True, 5, 2**70, 1.5, "a", b"b", np.float64(1), np.arange(3), datetime(2024, 1, 1, tzinfo=UTC)),
    *({1, 2}, frozenset({"a"}), Ema(3), Leaf(5), Loose("x"), Point(2.5), deque([1], 3)),
]
values = st.recursive(
    st.sampled_from(GOOD) | st.sampled_from(BAD) | st.sampled_from(GOOD),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=4)
        | st.builds(deque, st.lists(inner, max_size=3))
        | st.builds(Leaf, inner)
        | st.builds(Loose, inner)
        | st.builds(Point, inner)
    ),
    max_leaves=12,
)


@given(st.lists(values, max_size=3))
@example([{(1, object()): 1}])
def test_a_whole_check_finds_what_storing_would_refuse(contents: list[Any]) -> None:
    state = {f"a{number}": value for number, value in enumerate(contents)}
    check = StateCheck(CLASSES)
    exact = check.find_exactly(state, "Mine")
    assert check.find(state, "Mine", whole=True) == exact
    assert check.find(state, "Mine", whole=False) == exact, "small containers are read whole at every call"


@given(st.dictionaries(st.text(max_size=2), values, max_size=3))
def test_an_attribute_that_is_stored_as_a_dict_is_checked_as_one(content: dict[str, Any]) -> None:
    class Named(dict[str, Any]):
        """A dict with more to it."""

    check, plain = StateCheck(CLASSES, dicts=frozenset({Named})), StateCheck(CLASSES)
    for whole in (True, False):
        found = check.find({"a": Named(content), "b": [Named(content)]}, "Mine", whole=whole)
        assert found == plain.find({"a": content, "b": [Named(content)]}, "Mine", whole=whole)
        assert check.calls_between() == plain.calls_between()


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    "hold",
    [
        lambda bad: bad,
        lambda bad: [*range(1000), bad],
        lambda bad: deque([*range(1000), bad]),
        lambda bad: {**dict.fromkeys(range(1000)), "last": bad},
        lambda bad: {"BTC": Leaf([*range(1000), bad])},
    ],
)
def test_what_was_added_last_is_found_at_once_even_in_a_large_state(bad: Any, hold: Any) -> None:
    found = StateCheck(CLASSES).find({"past": hold(bad), "fine": 1}, "Mine", whole=False)
    assert found is not None
    assert found.attribute == "past"
    assert found.why.startswith("Mine.past")


def test_the_middle_of_a_large_container_is_read_when_the_whole_is() -> None:
    check = StateCheck(CLASSES)
    state = {"past": [*range(1000), complex(1), *range(1000)]}
    assert check.find(state, "Mine", whole=False) is None
    found = check.find(state, "Mine", whole=True)
    assert found is not None
    assert (found.attribute, found.inside) == ("past", True)


def test_larger_states_are_read_whole_less_often() -> None:
    check = StateCheck(CLASSES)
    calls = []
    for size in (1, 1000, 100_000):
        check.find({"plain": [1.0] * size, "pairs": [(1, 2.0)] * size}, "Mine", whole=True)
        calls.append(check.calls_between())
    assert calls[0] == 0
    assert 10 < calls[1] < 100
    assert 1000 < calls[2] < 10_000

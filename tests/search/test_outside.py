"""What modules keep outside of their strategies is told apart from what they only hold."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from engine.search.outside import outside_of

SOURCE = """
import math

class Box:
    shown = 0
    def __init__(self):
        self.held = {"a": [1, 2]}
        self.me = self

class Slots:
    __slots__ = ("value", "unset")
    def __init__(self):
        self.value = 1

def counter():
    count = 0
    def step(by=[1]):
        nonlocal count
        count += by[0]
    return step

BOX, SLOTS, STEP, NAMES, LIMITS = Box(), Slots(), counter(), {"b", "a"}, (1, 2.5)
"""


@pytest.fixture
def module() -> Iterator[ModuleType]:
    made = ModuleType("kept_outside")
    sys.modules["kept_outside"] = made
    exec(SOURCE, vars(made))
    yield made
    del sys.modules["kept_outside"]


def changed(module: ModuleType, code: str) -> list[str]:
    before = outside_of([module.__name__])
    exec(code, vars(module))
    after = outside_of([module.__name__])
    return sorted(name for name in after if after[name] != before.get(name))


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("BOX.held['a'].append(3)", ["BOX"]),
        ("BOX.shown = 1", ["BOX"]),
        ("Box.shown = 1", ["Box"]),
        ("SLOTS.value = 2", ["SLOTS"]),
        ("STEP()", ["STEP"]),
        ("STEP.calls = 1", ["STEP"]),
        ("NAMES.add('c')", ["NAMES"]),
        ("LIMITS = (1, 3)", ["LIMITS"]),
        ("BOX.held = {'a': [1, 2]}; Box(); len(NAMES); math.sqrt(2)", []),
    ],
)
def test_what_changes_is_named_and_nothing_else(module: ModuleType, code: str, names: list[str]) -> None:
    assert changed(module, code) == [f"kept_outside.{name}" for name in names]


def test_a_module_that_is_not_imported_holds_nothing() -> None:
    assert outside_of(["is.not.imported"]) == {}

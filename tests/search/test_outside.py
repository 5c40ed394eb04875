"""What modules keep outside of their strategies is told apart from what they only hold."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

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
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "kept_outside.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("kept_outside")
    del sys.modules["kept_outside"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda top: top.BOX.held["a"].append(3), ["BOX"]),
        (lambda top: setattr(top.BOX, "shown", 1), ["BOX"]),
        (lambda top: setattr(top.Box, "shown", 1), ["Box"]),
        (lambda top: setattr(top.SLOTS, "value", 2), ["SLOTS"]),
        (lambda top: top.STEP(), ["STEP"]),
        (lambda top: setattr(top.STEP, "calls", 1), ["STEP"]),
        (lambda top: top.NAMES.add("c"), ["NAMES"]),
        (lambda top: setattr(top, "LIMITS", (1, 3)), ["LIMITS"]),
        (lambda top: setattr(top.BOX, "held", {"a": [1, 2]}), []),
        (lambda top: (top.Box(), len(top.NAMES), top.math.sqrt(2)), []),
    ],
)
def test_what_changes_is_named_and_nothing_else(
    module: ModuleType, change: Callable[[Any], object], names: list[str]
) -> None:
    before = outside_of([module.__name__])
    change(module)
    after = outside_of([module.__name__])
    found = sorted(name for name in after if after[name] != before.get(name))
    assert found == [f"kept_outside.{name}" for name in names]


def test_a_module_that_is_not_imported_holds_nothing() -> None:
    assert outside_of(["is.not.imported"]) == {}

"""An attribute that hides a verb, a hook or a property is refused with its line."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import indent

import pytest

from engine.errors import NotDeterministic, UsageError
from engine.guard.names import names_of
from engine.loading.modules import own_modules
from engine.loading.strategies import load_strategy

HEAD = "from engine.strategies import Strategy\n"

# Sources of a class body, the last line of which hides a name.
HIDING = [
    "def on_start(self): self.target = 5",
    "def on_start(self):\n    self.a = 1\n    self.buy = self.a",
    "def on_bar(this, bar):\n    this.now_ns += 1",
    "def helper(self, a):\n    a, self.random = 1, 2",
    "def helper(self):\n    for self.sell in (): pass",
    "def helper(self):\n    def inner(): self.plot: int = 5",
    "def on_start(self): self.on_trade = self.on_quote",
    "def on_start(self): self._retape = None",
    "def on_start(self): del self.target",
    "def on_start(self): setattr(self, 'warming', 5)",
    "target = 5",
    "x = target = 5",
    "target: float = 0.5",
    "target: float",
    "class target: pass",
    "if True: stop = 5",
    "on_bar: int = 5",
    "def on_start(self): self.log('x')\ndef on_bar(self, bar): self.log = 5",
    "def on_start(self): self.position('BTC')\nposition: float = 0.0",
]

ALLOWED = [
    "def on_start(self): self.state = self.name = self._working = self.instruments = self.bind = 5",
    "name = 5\npolicy: str = 'x'",
    "def target(self, market, size): super().target(market, size)",
    "def helper(self, other): other.target = 5",
    "def helper(self):\n    target = 5\n    return target",
    "def helper(self): return [buy for buy in (1, 2)]",
    "x = [buy for buy in (1, 2)]",
    "def on_quote(self, quote): pass\non_trade = on_quote",
    "def on_start(self): self.orders_of = {}; self.orders_of['target'] = 5",
    "@staticmethod\ndef helper(): target = 5",
    "def on_start(self): self.bars = self.orders = self.cash = self.log = 5",
    "last: int = 5\ndef on_bar(self, bar): self.last += 1",
]


def write(folder: Path, body: str) -> int:
    """Write a strategy with this class body; return the number of its last line."""
    text = f"{HEAD}class Mine(Strategy):\n{indent(body, '    ')}"
    (folder / "mine.py").write_text(text + "\n")
    return text.count("\n") + 1


@pytest.mark.parametrize("body", HIDING)
def test_hiding_a_name_is_refused_with_its_line(tmp_path: Path, body: str) -> None:
    line = write(tmp_path, body)
    with (
        own_modules(tmp_path),
        pytest.raises(UsageError, match=rf"^mine\.py:{line}: .*choose another") as caught,
    ):
        load_strategy("mine:Mine")
    assert not isinstance(caught.value, NotDeterministic)


@pytest.mark.parametrize("body", ALLOWED)
def test_other_names_are_the_authors(tmp_path: Path, body: str) -> None:
    write(tmp_path, body)
    with own_modules(tmp_path):
        assert load_strategy("mine:Mine").__name__ == "Mine"


def test_bases_and_mixins_of_the_project_are_read_and_other_classes_are_not(tmp_path: Path) -> None:
    (tmp_path / "mixin.py").write_text(
        "class Other:\n    def f(self): self.buy = 5\n\n\nclass Mixin:\n    def f(self): self.buy = 5\n"
    )
    (tmp_path / "mine.py").write_text(
        f"{HEAD}from mixin import Mixin, Other\nclass Mine(Mixin, Strategy): pass\n"
    )
    with own_modules(tmp_path), pytest.raises(UsageError, match=r"^mixin\.py:6: sets self\.buy: [^\n]*$"):
        load_strategy("mine:Mine")


def test_every_use_in_a_class_is_found() -> None:
    (cls,) = ast.parse(
        "class A:\n    def f(self): self.buy = self.sell = 5\n    def g(self): self.buy = 5"
    ).body
    assert isinstance(cls, ast.ClassDef)
    assert [what for _, what in names_of(cls, frozenset({"buy", "sell"}))] == [
        "sets self.buy",
        "sets self.sell",
        "sets self.buy",
    ]

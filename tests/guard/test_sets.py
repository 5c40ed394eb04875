"""Uses that depend on the order of a set are refused with their line; others are not."""

from __future__ import annotations

import pytest

from engine.guard.reading import Source, find
from engine.guard.rules import HINTS

HEAD = """class Mine:
    def on_start(self):
        self.seen = set()
        self.held: set[str] | None = None
        self.frozen = frozenset({1, 2})
        self.by_market: dict[str, set[int]] = {}
        self.mixed = set()
        self.mixed = sorted(self.mixed)
        self.other = {}
    def on_bar(self, bar):
"""

# Statements of a method, the last line of which depends on the order of a set.
REFUSED = [
    "for x in self.seen: pass",
    "for x in self.held: pass",
    "for x in {1, 2}: pass",
    "for x in set(bar.names): pass",
    "for x in self.seen | {5}: pass",
    "for x in self.seen - self.other: pass",
    "for x in self.seen.union(bar.names): pass",
    "for x in self.seen.copy(): pass",
    "for x in self.by_market[bar.market]: pass",
    "for x in self.by_market.get(bar.market, ()): pass",
    "names = {bar.market}\nfor x in names: pass",
    "names: set[str] = bar.names()\nfor x in names: pass",
    "def inner(names: set[str]):\n    for x in names: pass",
    "a = [x for x in self.seen]",
    "a = {x: 1 for x in self.seen}",
    "a = [y for x in bar.lists for y in self.frozen]",
    "a = sum(x for x in self.seen)",
    "a = max((x for x in self.seen), key=len)",
    "a = list(self.seen)",
    "a = tuple(self.frozen)",
    "a = next(iter(self.seen))",
    "a = dict.fromkeys(self.seen)",
    "a = ', '.join(self.seen)",
    "a = sum(self.seen)",
    "a = str(self.seen)",
    "a = f'{self.seen}'",
    "a = [*self.seen]",
    "self.buy(*self.seen)",
    "a, b = self.seen",
    "self.past.extend(self.seen)",
    "for i, x in enumerate(self.seen): pass",
    "a = self.seen.pop()",
    "a = sorted(self.seen, key=len)",
    "a = min(self.seen, key=len)",
    "if (a := set(bar.names)):\n    for x in a: pass",
    "yield from self.seen",
]
ALLOWED = [
    "a = bar.market in self.seen",
    "self.seen.add(bar.market)\nself.seen.discard(1)\nself.seen |= {1}",
    "for x in sorted(self.seen): pass",
    "a = [x for x in sorted(self.seen)]",
    "a = sorted(x.upper() for x in self.seen)",
    "a = sorted(list(self.seen))\nb = len(tuple(map(str, self.seen)))",
    "a = {x + 1 for x in self.seen}",
    "a = set(x for x in self.seen)",
    "a = any(x > 1 for x in self.seen), all(x > 1 for x in self.seen)",
    "a = sum(1 for x in self.seen), sum(x > 2 for x in self.seen)",
    "a = min(self.seen), max(self.seen), len(self.seen), sorted(self.seen)",
    "a = self.seen & self.held\nreturn a == self.seen",
    "for x in self.mixed: pass",
    "for x in self.other: pass",
    "for x in self.by_market: pass",
    "for market, members in self.by_market.items(): pass",
    "names = {1}\nnames = sorted(names)\nfor x in names: pass",
    "names = {1}\ndef inner(names):\n    for x in names: pass",
    "a = self.past.pop()\nb = self.by_market.pop('x')",
    "a = sorted(sorted(self.seen), key=len)",
    "for x in bar.names: pass",
    "a, b = 1, 2",
]


def found(text: str) -> list[str]:
    body = "".join(f"        {line}\n" for line in text.split("\n"))
    return [str(one) for one in find({"mine": Source("mine", "mine.py", HEAD + body)})]


@pytest.mark.parametrize("text", REFUSED)
def test_a_use_that_depends_on_the_order_is_found_with_its_line(text: str) -> None:
    line = HEAD.count("\n") + 1 + text.count("\n")
    assert [one.partition(": ")[0] for one in found(text)] == [f"mine.py:{line}"]
    assert found(text)[0].endswith(HINTS["order"])


@pytest.mark.parametrize("text", ALLOWED)
def test_a_use_that_does_not_depend_on_it_is_not_reported(text: str) -> None:
    assert found(text) == []


def test_a_finding_names_the_set() -> None:
    assert found("for x in self.seen: pass") == [
        "mine.py:11: loops over the set self.seen: the order of a set differs from run to run; use sorted()"
    ]


def test_sets_of_a_module_and_of_another_class_are_told_apart() -> None:
    text = (
        "NAMES = {1, 2}\n"
        "class A:\n    def f(self):\n        self.x = set()\n        for n in NAMES: pass\n"
        "class B:\n    def f(self):\n        self.x = bar.x()\n        for n in self.x: pass\n"
    )
    (one,) = find({"mine": Source("mine", "mine.py", text)})
    assert (one.line, one.what) == (5, "loops over the set NAMES")

"""Examples of rules as data: a short script of a paper session, and what it must end with.

    Case("a stop closes", "target 1 | 100 100 | stop sell 1 97 | 96 96", books={"Long": "0"}, cash="996")

A script is a list of parts between bars:

    100 101 98                  trades at these prices, a second apart, each large enough for any order
    100x0.4                     a trade of this size
    target 1                    a call of the strategy Long at the next trade
    Short: sell 1 limit=110     a call of another strategy
    fill> trail 1 2             a call in the next `on_fill` (also `order>`, `bar>`, `quote>`)
    quote 99 101 3 5            best bid and ask with their sizes
    mark 100.5                  the venue's mark
    candle 100 105 96 103       a candle of a minute: open, high, low, close
    wait 60                     seconds without anything
    down, up                    the feed
    pause Long, resume, halt    an operator's command
    restart, kill               a new process, after an orderly stop or without one

`@BBB` behind a verb, `trade@BBB 100` and so on name the other market.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.orders.sequences import AAA, NAMES
from tests.orders.session import FREE, Session
from tests.orders.settings import Settings

__all__ = ["Case", "play", "run"]

HOOKS = ("fill", "order", "bar", "quote", "trade")
OPERATORS = ("pause", "resume", "halt", "flatten")


@dataclass(frozen=True)
class Case:
    """One example. `refused` are the limits of all refusals in order; `sent` counts submitted orders."""

    says: str
    script: str
    books: dict[str, str] = field(default_factory=dict)
    cash: str = ""
    wanted: dict[str, str | None] = field(default_factory=dict)
    refused: tuple[str, ...] | None = None
    sent: int | None = None
    live: int | None = None
    settings: Settings = FREE

    def __str__(self) -> str:
        return self.says.replace(" ", "_")


def run(case: Case) -> None:
    """Play a case, follow it with the model, derive it again, and assert its end."""
    with Session(case.settings) as s:
        play(s, case.script)
        for owner, size in case.books.items():
            assert s.book(owner) == Fraction(size), (owner, float(s.book(owner)))
        for owner, size_ in case.wanted.items():
            assert s.wanted(owner) == (None if size_ is None else Fraction(size_)), owner
        if case.cash:
            assert s.cash() == Fraction(case.cash), float(s.cash())
        if case.refused is not None:
            assert tuple(s.refusals()) == case.refused
        if case.sent is not None:
            assert len(s.submitted()) == case.sent
        if case.live is not None:
            assert len(s.live()) == case.live


def play(s: Session, script: str) -> None:
    """Play the parts of a script."""
    for part in script.split("|"):
        _play(s, part.split())


def _play(s: Session, words: list[str]) -> None:
    first = words[0]
    if first[0].isdigit():
        for word in words:
            price, _, size = word.partition("x")
            s.trade(price, size or 1000)
        return
    verb, _, name = first.partition("@")
    market = _market(name)
    if verb == "trade":
        for price in words[1:]:
            s.trade(price, market=market)
    elif verb == "quote":
        s.quote(*words[1:], market=market)
    elif verb == "mark":
        s.context(words[1], market=market)
    elif verb == "candle":
        s.candle(*words[1:5], volume=words[5] if len(words) > 5 else 1000, market=market)
    elif verb == "wait":
        s.wait(words[1])
    elif verb in ("up", "down"):
        s.feed(up=verb == "up")
    elif verb in OPERATORS:
        s.operator(verb, words[1] if len(words) > 1 else "")
    elif verb in ("restart", "kill"):
        s.restart(orderly=verb == "restart")
    else:
        _call(s, words)


def _call(s: Session, words: list[str]) -> None:
    strategy, on = "Long", "trade"
    while words[0][-1] in ":>":
        if words[0][-1] == ":":
            strategy = words[0][:-1]
        else:
            on = words[0][:-1]
            assert on in HOOKS, on
        words = words[1:]
    verb, _, name = words[0].partition("@")
    named: dict[str, Any] = {}
    plain: list[Any] = []
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if equals:
            named[key] = True if value == "yes" else value
        else:
            plain.append(None if word == "none" else word)
    if verb in ("modify", "cancel"):
        s.say(strategy, verb, int(plain[0]), *plain[1:], on=on, **named)
    else:
        s.say(strategy, verb, NAMES[_market(name)], *plain, on=on, **named)


def _market(name: str) -> int:
    return next(number for number, known in NAMES.items() if known == name) if name else AAA

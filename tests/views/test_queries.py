"""Queries: every path answers with its struct, and a query that means nothing is an error."""

from __future__ import annotations

import json

import msgspec
import pytest

from engine.errors import UsageError
from engine.views.answers import ANSWERS
from engine.views.queries import PARAMETERS, REQUIRED, answer
from engine.views.view import View
from tests.orders.session import Session
from tests.views.following import JOURNAL

GIVEN = {"instrument": "AAA", "interval": "1m", "seq": "1"}
SAFE = 2**53


def traded() -> View:
    """Return a view of a session with a position, a stop and a resting order."""
    session = Session()
    session.trade(100)
    session.say("Long", "target", "AAA", "1")
    session.trade(100)
    session.trade(101)
    session.trade("101.5", after_s=61)
    session.quote(101, 102)
    view = View(JOURNAL)
    view.apply(session.memory.all())
    session.stop()
    return view


def test_every_path_answers_with_its_struct() -> None:
    view = traded()
    for name, kind in ANSWERS.items():
        query = {key: GIVEN[key] for key in REQUIRED.get(name, ())}
        found = answer(view, name, query)
        if name != "why":
            assert isinstance(found, kind)
            assert (found.journal, found.seq) == (JOURNAL, view.seq)


def test_no_answer_has_an_integer_that_javascript_rounds() -> None:
    view = traded()
    for name in ANSWERS:
        query = {key: GIVEN[key] for key in REQUIRED.get(name, ())}
        if name == "events":
            query = {"fields": "true"}
        found = answer(view, name, query)
        plain = json.loads(msgspec.json.encode(found))
        assert all(abs(number) < SAFE for number in _integers(plain)), name


def test_a_fresh_view_answers_everything() -> None:
    view = View(JOURNAL)
    for name in ANSWERS.keys() - REQUIRED.keys():
        msgspec.json.encode(answer(view, name, {}))


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("nothing", {}),
        ("__class__", {}),
        ("apply", {}),
        ("status", {"x": "1"}),
        ("bars", {}),
        ("bars", {"instrument": "AAA"}),
        ("bars", {"instrument": "AAA", "interval": "7m"}),
        ("bars", {"instrument": "CCC", "interval": "1m"}),
        ("bars", {"instrument": "AAA", "interval": "1m", "limit": "0"}),
        ("bars", {"instrument": "AAA", "interval": "1m", "limit": "99999999999999999999"}),
        ("bars", {"instrument": "AAA", "interval": "1m", "before_ms": "-1"}),
        ("trades", {"instrument": ""}),
        ("fills", {"after": "²"}),
        ("fills", {"limit": "1e3"}),
        ("events", {"kinds": "nothing"}),
        ("events", {"fields": "maybe"}),
        ("gaps", {"limit": "x" * 1000}),
        ("why", {}),
        ("why", {"seq": "x"}),
    ],
)
def test_a_query_that_means_nothing_is_an_error(name: str, query: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        answer(traded(), name, query)


def test_every_parameter_is_one_of_the_method() -> None:
    for name, known in PARAMETERS.items():
        if name != "why":
            code = getattr(View, name).__code__
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            assert known.keys() <= {*names}


def _integers(value: object) -> list[int]:
    if isinstance(value, dict):
        return [number for one in value.values() for number in _integers(one)]
    if isinstance(value, list):
        return [number for one in value for number in _integers(one)]
    return [value] if isinstance(value, int) and not isinstance(value, bool) else []

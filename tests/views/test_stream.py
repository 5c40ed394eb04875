"""A reader that got one snapshot and then every message has what GET answers.

The reader here is a page in small: it keeps rows by their identity, replaces them by newer ones, and leaves
out what works no more. It is played on random sessions, from any moment on.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from engine.events.codec import in_order
from engine.views.answers import MESSAGES
from engine.views.stream import SLOW_EVERY, Changes
from engine.views.view import View
from tests.orders.sequences import Plan, plan, real_plan
from tests.orders.session import Session
from tests.orders.shrink import run_of
from tests.profiles import pick
from tests.views.following import JOURNAL

_ENDED = ("Filled", "Canceled", "Rejected", "fired", "dropped")


class Reader:
    """What a page keeps."""

    def __init__(self, view: View) -> None:
        self.changes = Changes(view)
        self.view = view
        self.orders = {row["id"]: row for row in plain(view.orders().working)}
        self.positions = {key_of(row): row for row in plain(view.positions().positions)}
        self.account = plain(view.equity().account)
        self.status = plain(view.status())
        self.strategies = {row["name"]: row for row in plain(view.strategies().strategies)}
        self.prices = {row["instrument"]: row["price"] for row in plain(view.instruments().instruments)}
        self.kinds: set[str] = set()
        self.newest = view.seq

    def take(self, records: list[Any]) -> None:
        self.read(self.changes.changes(records))

    def flush(self) -> None:
        for _ in range(SLOW_EVERY):
            self.read(self.changes.flush())

    def read(self, messages: list[Any]) -> None:
        for seq, kind, data in messages:
            assert self.newest <= seq <= self.view.seq
            self.newest = seq
            self.kinds.add(kind)
            row = json.loads(data)
            msgspec.convert(row, MESSAGES[kind])
            if kind == "order":
                self.orders[row["id"]] = row
                if row["state"] in _ENDED or row["left"] == "0":
                    del self.orders[row["id"]]
            elif kind == "position":
                self.positions[key_of(row)] = row
                if row["size"] == "0" and row["wanted"] in (None, "0"):
                    del self.positions[key_of(row)]
            elif kind == "equity":
                self.account = row
            elif kind == "status":
                self.status = row
            elif kind == "strategy":
                self.strategies[row["name"]] = row
            elif kind == "price":
                self.prices[row["instrument"]] = row


def plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def key_of(row: dict[str, Any]) -> tuple[str, str]:
    return row["instrument"], row["owner"]


def check(of: Plan) -> set[str]:
    """Play a plan, read its messages from its middle on, and return the kinds of messages that came."""
    session = run_of(of).play()
    view = View(JOURNAL)
    reader: Reader | None = None
    frames = session.memory.frames
    for at, (_, first_seq, inputs, derived) in enumerate(frames):
        records = [*in_order(first_seq, inputs, derived)]
        view.apply(records)
        if reader is not None:
            reader.take(records)
            if at % 7 == 0:
                reader.flush()
                compare(reader, view)
        elif at >= len(frames) // (2 + of.number % 3):
            reader = Reader(view)
    assert reader is not None
    reader.flush()
    compare(reader, view)
    return reader.kinds


def compare(reader: Reader, view: View) -> None:
    """Compare what a reader has with what GET answers now."""
    assert reader.orders == {row["id"]: row for row in plain(view.orders().working)}
    assert reader.positions == {key_of(row): row for row in plain(view.positions().positions)}
    assert reader.account == plain(view.equity().account)
    assert reader.status["halts"] == plain(view.status())["halts"]
    assert reader.prices == {row["instrument"]: row["price"] for row in plain(view.instruments().instruments)}


@pytest.mark.parametrize("make", [plan, real_plan])
def test_a_reader_has_what_is_answered(make: Any) -> None:
    kinds: set[str] = set()
    for number in (*range(pick(12, deep=2_000)), 52):  # in 52 an order alone changes what the engine watches
        kinds |= check(make(number))
    assert kinds >= {"order", "position", "equity", "status", "price", "fill", "refusal", "command", "bar"}


def test_a_trade_makes_no_message_until_the_flush() -> None:
    session = Session()
    view = View(JOURNAL)
    view.apply(session.memory.all())
    changes = Changes(view)
    for price in range(100, 150):
        session.trade(price, after_s="0.1")
        records = [record for record in session.memory.all() if record[0] > view.seq]
        view.apply(records)
        assert not changes.changes(records)
    (message,) = [one for one in changes.flush() if one.kind == "price"]
    assert message.seq == view.seq
    assert json.loads(message.data)["last"] == "149"
    assert not changes.flush()


def test_hello_says_whose_journal_it_is() -> None:
    session = Session()
    view = View(JOURNAL)
    view.apply(session.memory.all())
    hello = Changes(view).hello()
    assert (hello.journal, hello.seq, hello.mode) == (JOURNAL, view.seq, "paper")
    assert (hello.armed, hello.running, hello.recorded) == (False, True, False)

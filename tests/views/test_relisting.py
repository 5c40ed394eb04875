"""A view goes on when instruments are listed again with finer scales, as if they had always had them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.events.codec import in_order
from engine.views.answers import ANSWERS
from engine.views.queries import REQUIRED, answer
from engine.views.view import View
from tests.orders.sequences import AAA, BBB, plan, real_plan
from tests.profiles import pick
from tests.replay.relisting_kit import Finer, Memory, exact, play, recorded, relisted
from tests.views.following import JOURNAL, differences

FINER = {AAA: Finer(2, 1), BBB: Finer(1, 3)}
_DROPPED = ("book", "footprints", "profiles")
"""What a view forgets when scales change, until the market says it again: levels of books."""


def seen(memory: Memory) -> View:
    view = View(JOURNAL)
    for _, first_seq, inputs, derived in memory.frames:
        view.apply(in_order(first_seq, inputs, derived))
    return view


def answers(view: View) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for market in ("AAA", "BBB"):
        given = {"instrument": market, "interval": "1m"}
        for name in ANSWERS.keys() - {"why", "events", "book"}:
            query = {key: given[key] for key in REQUIRED.get(name, ())}
            plain = msgspec.to_builtins(answer(view, name, query))
            found[name, market] = {key: value for key, value in plain.items() if key not in _DROPPED}
    for (name, _), plain in found.items():
        for row in plain["instruments"] if name == "instruments" else ():
            del row["footprints"], row["profiles"]
    return found


@pytest.mark.parametrize("make", [plan, real_plan])
def test_answers_after_a_new_listing_are_those_of_the_fine_scales(make: Any) -> None:
    for number in range(pick(6, deep=300)):
        inputs = recorded(exact(make(number)), 0.5)
        late, early = (play(relisted(inputs, FINER, first=first)) for first in (False, True))
        view = seen(late.memory)
        assert differences(view, late.sequencer) == []
        assert answers(view) == answers(seen(early.memory)), number

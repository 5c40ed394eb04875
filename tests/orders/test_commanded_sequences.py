"""Random sessions that an operator drives with 200 commands: 3 on paper in `make test`, 500 deep.

On the sandbox one with 60 commands, deep 40 with 200. After every turn the model compares books, money,
targets, exits, halts, pauses and the answers; each nonce has one record; the session is derived again.
"""

from __future__ import annotations

from collections import Counter

import pytest

from engine.events import CommandAnswered
from tests.orders.commanding import COMMANDS, CommandedRun, commanded_plan
from tests.orders.commanding_sandbox import CommandedSandbox
from tests.orders.sandbox import broken_by
from tests.orders.shrink import break_of, explained
from tests.profiles import pick

COUNT = 200
CHUNKS = 3


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_session_of_random_commands_keeps_the_rules_and_replays(chunk: int) -> None:
    for number in range(chunk, pick(3, deep=500), CHUNKS):
        plan = commanded_plan(number, COUNT)
        if break_of(plan) is not None:
            pytest.fail(explained(plan), pytrace=False)


def test_a_session_of_random_commands_on_the_sandbox_ends_as_the_venue_says() -> None:
    count = pick(60, deep=COUNT)
    for number in range(pick(1, deep=40)):
        found, run = broken_by([commanded_plan(number, count, sandbox=True)], CommandedSandbox)
        assert found is None, f"plan {number}: {found}"
        assert isinstance(run, CommandedSandbox)
        assert len(run.given) > count // 2


def test_the_random_commands_are_of_every_kind_and_end_in_every_way() -> None:
    ends: Counter[tuple[str, str]] = Counter()
    repeated = 0
    for number in range(2):
        run = CommandedRun(commanded_plan(number, COUNT)).play()
        assert isinstance(run, CommandedRun)
        repeated += run.repeated
        for answer in run.memory.events(CommandAnswered):
            ends[answer.command, answer.state] += 1
    for command in COMMANDS:
        if command != "disarm":
            assert ends[command, "done"], command
    for command in ("cancel", "flatten", "order"):
        assert ends[command, "working"], command
    assert ends["order", "done"] > 10
    assert repeated > 20

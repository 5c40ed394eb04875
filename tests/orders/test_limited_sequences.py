"""Random sessions under random limits against a plain model: 60 in `make test`, 3,000 in deep runs."""

from __future__ import annotations

from collections import Counter

from tests.orders.limits import LimitedRun, check_limits
from tests.orders.stretches import stretched_plan
from tests.profiles import pick

FIRST = 50_001
"""Other plans than those of the other tests."""


def test_openings_pass_and_are_refused_as_the_limits_say() -> None:
    refused: Counter[str] = Counter()
    for number in range(FIRST, FIRST + pick(60, deep=3000)):
        of = stretched_plan(number)
        if not of.real:
            refused += check_limits(LimitedRun(of).play())
    assert set(refused) == {
        "cooldown",
        "max_open_positions",
        "max_order_size",
        "max_position_size",
        "netting",
    }

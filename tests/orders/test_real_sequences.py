"""Random sessions with real orders against the model, in one process.

There are 150 in `make test` and 6,000 in `make test-deep`. The exchange fills, cuts and ends orders. The
wire to it loses, delays, doubles and reorders what is said. Others trade on the account, persons cancel, the
stream is lost, the process is killed. At the end of each session every strategy is flat, no order is live,
and the books are the exchange's position.

Sessions on the sandbox (`test_sandbox_sequences.py`) have the real wire and the real gateway. These cost a
sixth of them, and treat every single report badly, in an order that the gateway would not let through.
"""

from __future__ import annotations

import pytest

from tests.orders.sequences import real_plan
from tests.orders.shrink import break_of, explained
from tests.profiles import pick

CHUNKS = 3


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_random_session_with_real_orders_keeps_the_rules_and_replays(chunk: int) -> None:
    for number in range(chunk, pick(150, deep=6000), CHUNKS):
        if break_of(real_plan(number)) is not None:
            pytest.fail(explained(real_plan(number)), pytrace=False)

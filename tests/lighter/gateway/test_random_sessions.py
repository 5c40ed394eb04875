"""Random sessions with real orders on Lighter: 15 in `make test`, 1,000 in `make test-deep`.

Lost answers, cuts, refusals, server errors, late, doubled and damaged frames, restarts of the venue, kills of
the engine, orders and trades of others, and transfers happen in between. A planted bug is found.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from adapters.lighter.gateway.account_wire import TradeRow
from adapters.lighter.gateway.memory import Orders
from adapters.lighter.gateway.reading import Reading
from engine.events import OrderFilled
from engine.values import BUY
from tests.lighter.gateway.sessions import broken_by
from tests.orders.sequences import sandbox_plan
from tests.profiles import pick

SERIES = 5
"""Plans that one session plays."""

FIRST = 100
PLANS = pick(15, deep=1000)


@pytest.mark.parametrize("chunk", range(3))
def test_every_random_session_on_lighter_ends_as_the_venue_says(chunk: int) -> None:
    for first in range(FIRST + chunk * SERIES, FIRST + PLANS, 3 * SERIES):
        found, _ = broken_by([sandbox_plan(number) for number in range(first, first + SERIES)])
        if found is not None:
            pytest.fail(f"plans {first} to {first + SERIES - 1}: {found[1]}", pytrace=False)


def _bugs() -> list[tuple[str, str, Any]]:
    """Return a place in the gateway and what stands there with a bug."""

    def dear(reading: Reading, row: TradeRow, recv_ns: int) -> list[OrderFilled]:
        """A fee is counted twice."""
        return [msgspec.structs.replace(one, fee=int(one.fee) * 2) for one in fills(reading, row, recv_ns)]

    def nobody(orders: Orders, index: int) -> str:
        """No order of the venue is known as ours."""
        return ""

    def halved(reading: Reading, row: TradeRow, recv_ns: int) -> list[OrderFilled]:
        """Only executions of buys are seen."""
        return [one for one in fills(reading, row, recv_ns) if one.side == BUY]

    fills = Reading.fills
    return [
        ("adapters.lighter.gateway.reading.Reading.fills", "dear", dear),
        ("adapters.lighter.gateway.memory.Orders.named", "nobody", nobody),
        ("adapters.lighter.gateway.reading.Reading.fills", "halved", halved),
    ]


@pytest.mark.parametrize(("place", "name", "bug"), _bugs(), ids=["dear", "nobody", "halved"])
def test_a_planted_bug_is_found(place: str, name: str, bug: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, bug)
    found, _ = broken_by([sandbox_plan(FIRST)])
    assert found is not None, name

"""How the venue's clock is read at a start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
import trio

from adapters.hyperliquid.client import _read_clock
from tests.simulation.times import SECOND_NS, MachineTime

START_NS = 1_795_000_000 * SECOND_NS


@pytest.mark.parametrize(
    ("waits_s", "asked", "trip_s"), [((0.1,), 1, 0.1), ((4.0, 0.5), 2, 0.5), ((3.0, 4.0, 2.0), 3, 2.0)]
)
async def test_an_answer_that_takes_long_is_asked_for_again(
    autojump_clock: Any, waits_s: tuple[float, ...], asked: int, trip_s: float
) -> None:
    """The proofs of a feed are measured by it for the whole session."""
    left = list(waits_s)
    times = MachineTime(START_NS)

    async def exchange_status() -> Any:
        time_ms = times.true_ns() // 1_000_000
        await trio.sleep(left.pop(0))
        return SimpleNamespace(time=time_ms)

    with patch("engine.clock.time", times):
        found = await _read_clock(cast("Any", SimpleNamespace(exchange_status=exchange_status)))
    assert len(waits_s) - len(left) == asked
    assert found.trip_ns == pytest.approx(trip_s * SECOND_NS, abs=1e6)
    assert found.answered_ns - found.trip_ns + START_NS == pytest.approx(found.sent_ns, abs=1e6)

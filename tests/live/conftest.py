"""Virtual time for sessions whose sandbox runs in the same process."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from tests.pacing import VirtualTime, make_clock


@pytest.fixture
def paced_clock(monkeypatch: pytest.MonkeyPatch) -> MockClock:
    """The clock of trio and of the engine; `pacing` moves it."""
    monkeypatch.setattr("engine.clock.time", VirtualTime())
    return make_clock()

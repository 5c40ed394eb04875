"""A clock that runs a hundred times as fast. Threads sync the journal, so time cannot simply jump."""

from __future__ import annotations

import pytest
import trio.testing


@pytest.fixture
def fast_clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    mock_clock.rate = 100
    return mock_clock

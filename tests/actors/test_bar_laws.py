"""The aggregator keeps the laws of bars (F02, F05, F07, F08, N10, T02, T07)."""

from __future__ import annotations

import pytest

from engine.actors import Aggregator
from tests.actors.bar_laws import LAWS
from tests.profiles import examples


@pytest.mark.parametrize("name", LAWS)
def test_bars_keep_the_law_of(name: str) -> None:
    LAWS[name](Aggregator, examples(1).max_examples)

"""The aggregator has the properties of bars (F02, F05, F07, F08, N10, T02, T07)."""

from __future__ import annotations

import pytest

from engine.actors import Aggregator
from tests.actors.bar_properties import PROPERTIES
from tests.profiles import examples


@pytest.mark.parametrize("name", PROPERTIES)
def test_the_aggregator_has_the_property(name: str) -> None:
    PROPERTIES[name](Aggregator, examples(1).max_examples)

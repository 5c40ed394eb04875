"""Every property of bars fails for an aggregator with a planted bug, so none of them passes trivially."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest

from engine.actors import Aggregator
from tests.actors.bar_properties import PROPERTIES
from tests.planted.bugs import BUGS

EXAMPLES_MAX = 3000
"""Most are found within a hundred. Which are tried depends on the modules that a process has imported."""

CASES = [(name, bug) for name, bugs in BUGS.items() for bug in bugs]


@pytest.mark.parametrize(("name", "bug"), CASES, ids=[f"{name}-{bug.__name__}" for name, bug in CASES])
def test_a_planted_bug_is_detected_by_the_property(name: str, bug: object) -> None:
    is_class = isinstance(bug, type)
    planted: AbstractContextManager[object] = nullcontext() if is_class else bug()  # type: ignore[operator]
    with planted, pytest.raises(AssertionError):
        PROPERTIES[name](bug if is_class else Aggregator, -EXAMPLES_MAX)  # type: ignore[arg-type]


def test_every_property_has_a_planted_bug() -> None:
    assert BUGS.keys() == PROPERTIES.keys()

"""Every law of bars fails where a bug is planted that breaks it: none of them is a law that cannot fail."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest

from engine.actors import Aggregator
from tests.actors.bar_laws import LAWS
from tests.planted.bugs import BUGS

CASES = [(law, bug) for law, bugs in BUGS.items() for bug in bugs]


@pytest.mark.parametrize(("law", "bug"), CASES, ids=[f"{law}-{bug.__name__}" for law, bug in CASES])
def test_a_planted_bug_breaks_the_law_of(law: str, bug: object) -> None:
    is_class = isinstance(bug, type)
    planted: AbstractContextManager[object] = nullcontext() if is_class else bug()  # type: ignore[operator]
    with planted, pytest.raises(AssertionError):
        LAWS[law](bug if is_class else Aggregator, -500)  # type: ignore[arg-type]


def test_no_law_is_without_a_planted_bug() -> None:
    assert BUGS.keys() == LAWS.keys()

"""The readers of what strangers write, for seconds: their corpora, and changes of them at random.

`make fuzz` does the same for minutes, guided by coverage. What broke a reader once is in its corpus.
"""

from __future__ import annotations

import contextlib
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import CORPUS, SEEDS, corpus_of
from tests.fuzz.targets import TARGETS
from tests.profiles import examples

ALLOCATED_BYTES_MAX = 64 << 20
"""Of one input of the corpus; each is smaller than 64 KiB."""


def read(name: str, data: bytes) -> bool:
    """Read an input; return whether it was accepted. Any other error than the declared ones is raised."""
    target = TARGETS[name]
    with contextlib.suppress(*target.errors):
        target.read(data)
        return True
    return False


def test_every_target_has_a_corpus() -> None:
    assert TARGETS.keys() == SEEDS.keys()
    assert {path.name for path in CORPUS.iterdir()} == TARGETS.keys()


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_s14_v07_what_is_in_a_corpus_is_read_or_refused_in_bounded_memory(name: str) -> None:
    accepted = 0
    for data in corpus_of(name):
        tracemalloc.start()
        try:
            accepted += read(name, data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < ALLOCATED_BYTES_MAX
    assert accepted, "a corpus of refused inputs reaches no code behind the first check"


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_s14_v02_v04_a_changed_input_is_read_or_refused_with_a_declared_error(name: str) -> None:
    corpus = corpus_of(name)
    form = TARGETS[name].form

    @examples(2 if name in ("imports", "segments") else 5)
    @given(st.integers(0, len(corpus) - 1), st.integers(0, 2**32))
    def check(place: int, seed: int) -> None:
        read(name, mutated(corpus[place], form, random.Random(seed), corpus))

    check()

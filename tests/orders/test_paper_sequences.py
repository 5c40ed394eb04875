"""Random paper sessions against the model: 1,000 in `make test`, 20,000 in `make test-deep`.

Each session is played with the real sequencer and actors, followed by the model from its records, and derived
again. One that breaks a rule is shortened; the failure shows its number, what is left of it, and its records.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.orders.paper import Run
from tests.orders.sequences import plan
from tests.orders.shrink import break_of, explained
from tests.profiles import pick

CHUNKS = 8
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_random_session_keeps_the_rules_and_replays(chunk: int) -> None:
    for number in range(chunk, pick(1000, deep=20_000), CHUNKS):
        if break_of(plan(number)) is not None:
            pytest.fail(explained(plan(number)), pytrace=False)


def test_a_session_is_the_same_in_every_process() -> None:
    count = pick(3, deep=40)
    printed = f"import tests.orders.test_paper_sequences as t; t.print_digests({count})"
    found = set()
    for seed in ("1", "2"):
        environ = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            [sys.executable, "-c", printed],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            check=True,
            timeout=300,
        )
        found.add(ran.stdout)
    assert len(found) == 1


def print_digests(count: int) -> None:
    """Print a digest of each of the first sessions. Called in another process."""
    from hashlib import blake2b

    for number in range(count):
        sys.stdout.write(blake2b(Run(plan(number)).play().memory.bytes()).hexdigest() + "\n")

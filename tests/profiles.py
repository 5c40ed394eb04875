"""The number of hypothesis examples and the length of long runs, set in one place.

`make test` uses the profile "default", `make test-deep` the profile "deep", `.ci/run` the profile "ci"; the
variable HYPOTHESIS_PROFILE selects one. A test scales the number of its examples with a weight:
`@examples(0.4)`.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

__all__ = ["examples", "load", "pick"]

# No deadline, because no test depends on the speed of the machine. A failure prints the blob that reproduces
# it. Not derandomized: each run tries other examples, and a failing one is kept as an @example.
settings.register_profile("default", deadline=None, derandomize=False, print_blob=True, max_examples=40)
# A change is judged by the same examples each time: new ones are looked for at the desk and by deep runs.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.register_profile(
    "deep",
    settings.get_profile("default"),
    max_examples=1000,
    suppress_health_check=[HealthCheck.too_slow],
)


def load() -> None:
    """Load the profile named in HYPOTHESIS_PROFILE. conftest.py calls this before tests are collected."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def examples(weight: float, **others: Any) -> settings:
    """Return settings with weight times the profile's number of examples, and at least four."""
    return settings(max_examples=max(4, round(weight * settings.default.max_examples)), **others)


def pick(default: int, *, deep: int) -> int:
    """Return the size of a long run: `deep` under the profile "deep", else the default."""
    return deep if settings.default.max_examples >= settings.get_profile("deep").max_examples else default

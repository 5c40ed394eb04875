"""How hard the tests search: the number of hypothesis examples and the length of long runs, set in one place.

`make test` uses the profile "default", `make test-deep` the profile "deep"; the variable HYPOTHESIS_PROFILE
chooses. A test whose examples are costly takes a part of the number, one that needs many takes more:
`@examples(0.4)`.
"""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

__all__ = ["examples", "load", "pick"]

# No deadline: a shared machine is slow at times, and a promise does not depend on it. A failure prints the
# blob that repeats it. Not derandomized: each run looks somewhere new; what it finds stays as an @example.
settings.register_profile("default", deadline=None, derandomize=False, print_blob=True, max_examples=40)
settings.register_profile(
    "deep",
    settings.get_profile("default"),
    max_examples=1000,
    suppress_health_check=[HealthCheck.too_slow],
)


def load() -> None:
    """Load the profile that HYPOTHESIS_PROFILE names; conftest.py calls this before any test is read."""
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def examples(weight: float, **others: Any) -> settings:
    """Return settings with weight times the profile's number of examples, and at least four."""
    return settings(max_examples=max(4, round(weight * settings.default.max_examples)), **others)


def pick(default: int, *, deep: int) -> int:
    """Return the size of a long run: `deep` under the profile "deep", else the default."""
    return deep if settings.default.max_examples >= settings.get_profile("deep").max_examples else default

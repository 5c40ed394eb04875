"""Settings that every test shares: the hypothesis profile, chosen by HYPOTHESIS_PROFILE."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: a shared machine is slow at times, and a promise does not depend on it. A failure prints the
# blob that repeats it. Not derandomized: each run looks somewhere new; what it finds stays as an @example.
settings.register_profile("ci", deadline=None, derandomize=False, print_blob=True, max_examples=100)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=15)
settings.register_profile(
    "deep", settings.get_profile("ci"), max_examples=5000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

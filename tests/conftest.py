"""Settings that every test shares: the hypothesis profile."""

from __future__ import annotations

from tests.profiles import load

load()

"""The faults of the sandbox that random sequences choose from."""

from __future__ import annotations

__all__ = ["FAULTS"]

FAULTS = (
    ("lost-reply", "exchange", None),
    ("lost-reply", "exchange", None),
    ("swallow", "exchange", None),
    ("late-reply", "exchange", 2500),
    ("429", "exchange", None),
    ("5xx", "exchange", None),
    ("5xx", "info", None),
    ("drop", "user", None),
    ("duplicate", "ws", None),
    ("reorder", "user", 300),
    ("delay", "ws", 400),
    ("cut", "user", None),
    ("cut", "market", None),
    ("silent", "user", None),
    ("half-open", "ws", None),
    ("restart", "", 1000),
)
"""Faults of the sandbox: kind, scope, milliseconds. See `adapters/sandbox/faults.py`."""

"""The errors of stores.

StoreError             1   the rows cannot be used or written
├── StoreUnavailable   1   the store is locked, full, corrupt, deleted: trading continues without it
├── StoreOutOfStep     4   the rows belong to another state of the journal: they must be rebuilt
│   ├── StoreOutdated  4   the tables are those of an earlier version: a session makes the rows again
│   └── StoreForeign   4   the rows belong to another journal or program: a session never overwrites them
└── RowFailed          1   one event cannot be made into a row

None of these affects the journal: a store can always be deleted and rebuilt.
"""

from __future__ import annotations

from typing import Literal

from engine.errors import EngineError

__all__ = [
    "Reason",
    "RowFailed",
    "StoreError",
    "StoreForeign",
    "StoreOutOfStep",
    "StoreOutdated",
    "StoreUnavailable",
    "first_line",
    "unreachable",
]

Reason = Literal["locked", "full", "corrupt", "deleted", "unreachable"]


class StoreError(EngineError):
    """The rows cannot be used or written."""


class StoreUnavailable(StoreError):
    """The store cannot be used now; its cursor has not moved. Carries `reason`.

    After "locked", "full" and "unreachable" the same batch may be applied again later; after "corrupt"
    and "deleted" the rows must be rebuilt.
    """

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class StoreOutOfStep(StoreError):
    """The rows do not end where the next records begin: another journal, ahead, behind, or other tables."""

    exit_code = 4


class StoreOutdated(StoreOutOfStep):
    """The store has the tables of an earlier version of this program."""


class StoreForeign(StoreOutOfStep):
    """The store's place holds rows of another journal, or other data. No session overwrites it."""


class RowFailed(StoreError):
    """One record cannot be made into rows; the cursor has not moved. Carries `seq` and `event_type`."""

    def __init__(self, message: str, *, seq: int, event_type: str) -> None:
        super().__init__(message)
        self.seq = seq
        self.event_type = event_type


def unreachable(place: object, error: OSError) -> StoreUnavailable:
    """Return the error for an OSError of the file system."""
    return StoreUnavailable(
        f"{place}: the store is unreachable ({first_line(error)}); the next attempt follows",
        reason="unreachable",
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 200 characters."""
    return (str(error) or type(error).__name__).splitlines()[0][:200]

"""What can go wrong with a projection.

StoreError             1   the rows cannot be used or kept
├── StoreUnavailable   1   the database is locked, full, corrupt, deleted: trading goes on without it
├── StoreOutOfStep     4   the rows belong to another journal, or to another state of this one
└── RowFailed        1   one event cannot be made into a row

None of these touches the journal: a projection can always be deleted and rebuilt.
"""

from __future__ import annotations

from typing import Literal

from engine.errors import EngineError

__all__ = ["Reason", "RowFailed", "StoreError", "StoreOutOfStep", "StoreUnavailable"]

Reason = Literal["locked", "full", "corrupt", "deleted", "unreachable"]


class StoreError(EngineError):
    """The rows cannot be used or kept."""


class StoreUnavailable(StoreError):
    """The database cannot be used now; nothing of the batch was kept. Carries `reason`.

    After "locked", "full" and "unreachable" the same batch may be applied again later; after "corrupt"
    and "deleted" the rows must be rebuilt.
    """

    def __init__(self, message: str, *, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


class StoreOutOfStep(StoreError):
    """The rows do not belong where the next records are: another journal, ahead, behind, or another shape."""

    exit_code = 4


class RowFailed(StoreError):
    """One record cannot be made into rows; nothing of its batch was kept. Carries `seq` and `event_type`."""

    def __init__(self, message: str, *, seq: int, event_type: str) -> None:
        super().__init__(message)
        self.seq = seq
        self.event_type = event_type

"""The errors of mirrors.

MirrorError                1   the stream cannot be used
├── MirrorUnavailable      5   the broker does not answer: what is missing is sent later
├── MirrorUnfit            2   the stream has limits or settings with which it cannot hold a journal
└── MirrorOutOfStep        4   the stream holds another journal, another state of it, or lacks its beginning

None of these affects the journal.
"""

from __future__ import annotations

from engine.errors import EngineError

__all__ = ["MirrorError", "MirrorOutOfStep", "MirrorUnavailable", "MirrorUnfit"]


class MirrorError(EngineError):
    """The stream cannot be used."""


class MirrorUnavailable(MirrorError):
    """The broker does not answer, or its answer was lost. What was stored is found by reading the tail."""

    exit_code = 5


class MirrorUnfit(MirrorError):
    """The stream cannot hold a journal: it has limits, or another program made it."""

    exit_code = 2


class MirrorOutOfStep(MirrorError):
    """The stream does not hold the journal it is compared with. Nothing is written to either."""

    exit_code = 4

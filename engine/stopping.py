"""Handles signals while the modules of a command are being imported.

Owns the handlers of SIGINT and SIGTERM until the command runs. Promises: a signal in that time ends the
process with the line "stopped" and exit code 1; nothing is open yet, so nothing is lost. A KeyboardInterrupt
is not enough: during an import it is printed as a traceback or dropped, depending on the statement.
A signal that the caller has set to be ignored stays ignored. Called by `engine/__main__.py`, and by
`engine/cli.py` when the command is loaded.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Final

__all__ = ["STOPPED", "end_at_once", "end_in_order"]

STOPPED: Final = "stopped"

_STARTED: Final[dict[signal.Signals, Any]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
"""The handlers that Python starts with."""


def end_at_once() -> None:
    """Make SIGINT and SIGTERM end the process at once."""
    for number, started in _STARTED.items():
        if signal.getsignal(number) is started:
            signal.signal(number, _end)


def end_in_order() -> None:
    """Restore Python's handlers of both signals, for the command to replace."""
    for number, started in _STARTED.items():
        if signal.getsignal(number) is _end:
            signal.signal(number, started)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(1)

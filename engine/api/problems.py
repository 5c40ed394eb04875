"""Errors of the HTTP interface: one struct, with codes that do not change. docs/api.md lists them.

Raised by everything in `engine.api`, turned into answers by `app.py` and `guard.py`.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.operator.requests import STATUS

__all__ = ["CODES", "Problem", "ProblemAnswer"]

CODES: Final[dict[str, int]] = {
    **STATUS,
    "bad_request": 400,
    "bad_host": 400,
    "bad_query": 400,
    "bad_json": 400,
    "not_logged_in": 401,
    "login_failed": 401,
    "cross_site": 403,
    "socket_only": 403,
    "not_found": 404,
    "no_page": 404,
    "method_not_allowed": 405,
    "too_slow": 408,
    "too_large": 413,
    "not_json": 415,
    "login_limit": 429,
    "internal": 500,
    "not_available": 501,
    "too_many_streams": 503,
}
"""The HTTP status of each code, those of commands included."""


class ProblemAnswer(msgspec.Struct, frozen=True):
    """The body of every answer with a status of 400 or more.

    `code` does not change between versions; `message` is for people. `journal` is the id of the journal, ""
    if the caller may not know it; `seq` is where it stands.
    """

    code: str
    message: str
    journal: str = ""
    seq: int = 0


class Problem(Exception):
    """A request that is not answered as asked. `retry_s`: when the caller may try again."""

    def __init__(self, code: str, message: str, *, retry_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = CODES[code]
        self.message = message
        self.retry_s = retry_s

"""The requests and answers of the server itself; those of the views and of commands are defined there."""

from __future__ import annotations

import msgspec

from engine.api.ports import Standing

__all__ = ["LinkAnswer", "LoginRequest", "SessionAnswer"]


class LoginRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /api/login`: the token of a link, or the password."""

    token: str = ""
    password: str = ""


class SessionAnswer(Standing, kw_only=True):
    """Who is logged in. `who` is how records call this caller, "" after a logout.

    `read_only`: this caller can look only. `commands`: there is a session that takes commands.
    """

    who: str
    read_only: bool
    commands: bool


class LinkAnswer(Standing, kw_only=True):
    """A fresh link, good for one login within an hour."""

    link: str

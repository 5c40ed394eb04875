"""The records of operators' commands in the state of the order manager.

Sizes are exact integers at the instrument's scale. A snapshot stores these records as they are.
"""

from __future__ import annotations

import msgspec

from engine.actors.base import State
from engine.values import InstrumentId, Size

__all__ = ["Answer", "Setting", "Working"]


class Answer(State):
    """The newest answer to a command; the fields are those of `CommandAnswered`."""

    seq: int
    command: str
    state: str
    code: str = ""
    reason: str = ""
    left: tuple[tuple[str, str, str], ...] = ()
    tries: int = 0
    request: str = ""


class Working(State):
    """A command that has not ended.

    `books` are those that a flatten closes, as "number owner"; `orders` what a cancel waits for; `handle`,
    `instrument` and `size` an order and what it asked for, of which `filled` is filled. `broken`: what
    refused a part of it. `protects`: it is a stop, `judged`: its request has been approved or refused.
    `target` is the strategy of a `set` or `restart`, `name` and `value` what is set. `answered`: its first
    answer has been given.
    """

    seq: int
    nonce: str
    command: str
    request: str
    books: dict[str, None] = msgspec.field(default_factory=dict)
    orders: dict[str, None] = msgspec.field(default_factory=dict)
    handle: str = ""
    instrument: InstrumentId = 0
    size: Size = 0
    filled: Size = 0
    broken: tuple[str, str] = ("", "")
    protects: bool = False
    judged: bool = False
    target: str = ""
    name: str = ""
    value: str = ""
    answered: bool = False
    tries: int = 0


class Setting(State):
    """A parameter that an operator has set, of a strategy that is configured as `configured` says."""

    configured: str
    values: dict[str, str] = msgspec.field(default_factory=dict)

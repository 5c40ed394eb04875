"""The requests of operators: one struct for each command, and the one way from JSON to a checked request.

Owns the names and types of what can be asked, and every check that needs no state: unknown members, missing
or empty selectors, numbers that are none, combinations that mean nothing. Promises: a request that was
parsed names its command, a nonce and, where the command needs one, exactly one selector; what is not said is
never taken as "all". Whether a market, strategy or order exists, and whether the risk limits let an order
pass, is decided by the actors, at the moment of the command (`engine.actors.orders.commands`).

The same structs describe the API, are recorded (`command_of`), and are read back from the record
(`request_of`). Used by the server, the command line, the desk and the actors. Pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import msgspec

from engine.errors import CommandError
from engine.events import OperatorCommand
from engine.values import INT64_MAX

__all__ = [
    "NONCE_LENGTH_MAX",
    "STATUS",
    "TEXT_LENGTH_MAX",
    "WAIT_S_MAX",
    "AnyRequest",
    "Cancel",
    "CommandRequest",
    "Disarm",
    "Flatten",
    "Halt",
    "Number",
    "Order",
    "Pause",
    "Restart",
    "Resume",
    "Set",
    "Stop",
    "StopStrategy",
    "checked",
    "command_of",
    "parse_request",
    "request_of",
    "target_of",
    "text_of",
]

Number = str | int | float
"""A size, a price, an amount of money or a percentage: a plain decimal number, best as text."""

TEXT_LENGTH_MAX: Final = 80
NONCE_LENGTH_MAX: Final = 64
BODY_LENGTH_MAX: Final = 4096
WAIT_S_MAX: Final = 60.0
"""How long an answer may be waited for."""

STATUS: Final = {
    "invalid": 400,
    "unknown_command": 400,
    "nonce": 400,
    "selector": 400,
    "number": 400,
    "journal_needed": 400,
    "other_journal": 409,
    "nonce_reused": 409,
    "read_only": 403,
    "busy": 429,
    "starting": 503,
    "stopping": 503,
    "not_recorded": 503,
}
"""The code of every error of a request that was not recorded, with the status of an HTTP response."""

_NUMBER: Final = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_NONCE: Final = re.compile(rf"[A-Za-z0-9_.:-]{{1,{NONCE_LENGTH_MAX}}}", re.ASCII)
_DIGITS: Final = 15
_ENVELOPE: Final = ("nonce", "journal", "who", "wait_s")
"""Members that every request may have. The first and the third are recorded in fields of their own."""


class CommandRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="command",
):
    """What every command has.

    `nonce` is made once for a ticket, so that a repeated request is recognised and carried out once.
    `journal` is the id of the journal that it is meant for; only a halt does without. `who` says who asks.
    `wait_s`: how long to wait for the end of a command that takes time.
    """

    nonce: str
    journal: str = ""
    who: str = ""
    wait_s: float = 0.0


class Pause(CommandRequest, frozen=True, tag="pause"):
    """No new risk, of one strategy or, without `strategy`, of all; exits go on. It lasts until `resume`."""

    strategy: str | None = None
    all: bool = False


class Resume(CommandRequest, frozen=True, tag="resume"):
    """End pauses and halts: all of them, or those of one strategy or market."""

    strategy: str | None = None
    market: str | None = None
    all: bool = False


class Halt(CommandRequest, frozen=True, tag="halt"):
    """No new risk, until `resume`: entries are canceled, protective orders stay, exits pass."""


class Cancel(CommandRequest, frozen=True, tag="cancel"):
    """Cancel one order (its id or handle), or all of a market, a strategy, or the engine.

    Protective orders stay unless `protective`.
    """

    order: str | None = None
    market: str | None = None
    strategy: str | None = None
    all: bool = False
    protective: bool = False


class Flatten(CommandRequest, frozen=True, tag="flatten"):
    """Close the positions of a market, of a strategy, or all: until flat, and pause what was closed."""

    market: str | None = None
    strategy: str | None = None
    all: bool = False


class Order(CommandRequest, frozen=True, tag="order"):
    """Order by hand, in the book `manual`. One of `size`, `notional` (quote) and `percent` (of the equity).

    Without `limit` at the market. `trigger`: it waits for this price; with `reduce_only` it protects the
    manual position as a stop-loss or, with `kind` "tp", as a take-profit.
    """

    market: str
    side: Literal["buy", "sell"]
    size: Number | None = None
    notional: Number | None = None
    percent: Number | None = None
    limit: Number | None = None
    trigger: Number | None = None
    kind: Literal["sl", "tp"] = "sl"
    stop_loss: Number | None = None
    take_profit: Number | None = None
    reduce_only: bool = False
    post_only: bool = False


class Set(CommandRequest, frozen=True, tag="set"):
    """Give a parameter of a running strategy another value, which its type checks."""

    strategy: str
    name: str
    value: str | int | float | bool | None


class Restart(CommandRequest, frozen=True, tag="restart"):
    """Let a strategy that failed or was stopped run again."""

    strategy: str


class StopStrategy(CommandRequest, frozen=True, tag="stop-strategy"):
    """Stop a strategy: it follows the market and can ask for nothing, until `restart`."""

    strategy: str


class Disarm(CommandRequest, frozen=True, tag="disarm"):
    """Send no order any more, exits included, until the engine is started again. Only with real orders."""


class Stop(CommandRequest, frozen=True, tag="stop"):
    """End the session, as its configuration says."""


AnyRequest = Pause | Resume | Halt | Cancel | Flatten | Order | Set | Restart | StopStrategy | Disarm | Stop
_COMMANDS: Final = tuple(str(one.__struct_config__.tag) for one in AnyRequest.__args__)
_SELECTORS: Final = ("order", "market", "strategy")
_NUMBERS: Final = ("size", "notional", "percent", "limit", "trigger", "stop_loss", "take_profit")


def parse_request(body: bytes | str | Mapping[str, Any], who: str = "") -> AnyRequest:
    """Return the checked request of a JSON object. Raises CommandError with a code and one line.

    `who` is used where the request does not say who asks.
    """
    try:
        if isinstance(body, bytes | str):
            if len(body) > BODY_LENGTH_MAX:
                raise CommandError("invalid", f"a command has at most {BODY_LENGTH_MAX} bytes")
            given = msgspec.json.decode(body)
            json.loads(body, object_pairs_hook=_once)  # the decoder takes the last of two
        else:
            given = dict(body)
    except RecursionError:
        raise CommandError("invalid", "the request is not JSON: it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise CommandError("invalid", f"the request is not JSON: {_line(error)}") from None
    if not isinstance(given, dict):
        raise CommandError("invalid", 'the request is not a JSON object such as {"command": "pause", ...}')
    command = given.get("command")
    if command not in _COMMANDS:
        raise CommandError(
            "unknown_command", f"there is no command {str(command)[:40]!r}; there are {', '.join(_COMMANDS)}"
        )
    if "nonce" not in given:
        raise CommandError("nonce", "a command needs a nonce, made once for each ticket")
    if who and not given.get("who"):
        given["who"] = who
    try:
        request: AnyRequest = msgspec.convert(given, AnyRequest)
    except msgspec.ValidationError as error:
        raise CommandError("invalid", f"{command}: {_line(error)}") from None
    return checked(request)


def checked(request: AnyRequest) -> AnyRequest:
    """Return the request if it means something. Raises CommandError with a code and one line."""
    command = _name(request)
    if _NONCE.fullmatch(request.nonce) is None:
        raise CommandError(
            "nonce", f"a nonce has 1 to {NONCE_LENGTH_MAX} of the characters A-Z a-z 0-9 _ . : -"
        )
    if not 0 <= request.wait_s <= WAIT_S_MAX:  # false for NaN too
        raise CommandError("invalid", f"{command}: wait_s is 0 to {WAIT_S_MAX:g} seconds")
    for name in request.__struct_fields__:
        value = getattr(request, name)
        if isinstance(value, str) and name != "nonce":
            _check_text(command, name, value)
    for name in _NUMBERS:
        value = getattr(request, name, None)
        if value is not None:
            _check_number(command, name, value)
    _check_selectors(command, request)
    if isinstance(request, Set):
        _check_value(request)
    if isinstance(request, Order):
        _check_order(request)
    return request


def target_of(request: AnyRequest) -> str:
    """Return what the command is about: a strategy, a market, an order, or "" for the whole engine."""
    return next((value for name in _SELECTORS if (value := getattr(request, name, None))), "")


def command_of(request: AnyRequest, recv_ns: int, who: str = "") -> OperatorCommand:
    """Return the input that records a checked request: its arguments by name, as text."""
    arguments = tuple(
        (name, text_of(value))
        for name, value in sorted(msgspec.structs.asdict(request).items())
        if name not in _ENVELOPE and value != _default(request, name)
    )
    return OperatorCommand(
        recv_ns,
        _name(request),
        target_of(request),
        "",
        who or request.who,
        request.nonce,
        arguments,
    )


def request_of(command: OperatorCommand) -> AnyRequest:
    """Return the request that was recorded. Raises CommandError for what `command_of` never makes."""
    envelope = {"command": command.command, "nonce": command.nonce, "who": command.who}
    given = {**dict(command.arguments), **envelope}
    try:
        return checked(msgspec.convert(given, AnyRequest, strict=False))
    except msgspec.ValidationError as error:
        raise CommandError("invalid", f"{command.command}: {_line(error)}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the members of an object. Raises CommandError for a name that is given twice."""
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise CommandError("invalid", f"{name[:40]!r} is given twice; which one is meant is not clear")
        members[name] = value
    return members


def _check_text(command: str, name: str, value: str) -> None:
    if not value.isprintable() or len(value) > TEXT_LENGTH_MAX:
        raise CommandError("invalid", f"{command}: {name} has at most {TEXT_LENGTH_MAX} printable characters")
    if name in _SELECTORS and not value.strip():
        raise CommandError("selector", f"{command}: {name} is empty; all is meant only by all: true")


def _check_number(command: str, name: str, value: Number) -> None:
    text = _plain(value)
    if isinstance(value, bool) or _NUMBER.fullmatch(text) is None or not text.strip("0."):
        raise CommandError(
            "number", f"{command}: {name} is a plain decimal number above 0, not {str(value)[:40]!r}"
        )


def _check_value(request: Set) -> None:
    value = request.value
    if isinstance(value, int) and abs(value) > INT64_MAX:
        raise CommandError("number", "set: value does not fit 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise CommandError("number", "set: value is not a finite number")
    if len(text_of(value)) > TEXT_LENGTH_MAX:
        raise CommandError("number", f"set: value has more than {TEXT_LENGTH_MAX} digits")


def _check_selectors(command: str, request: AnyRequest) -> None:
    """Refuse a command without the one selector it needs, and one with several."""
    if not hasattr(request, "all"):
        return
    given = [name for name in _SELECTORS if getattr(request, name, None) is not None]
    given += ["all"] if request.all else []
    needs = isinstance(request, Cancel | Flatten)
    if len(given) > 1 or (needs and not given):
        names = ", ".join(name for name in (*_SELECTORS, "all") if hasattr(request, name))
        words = f"has {' and '.join(given)}" if given else "names nothing"
        raise CommandError("selector", f"{command} {words}; give one of {names}, and all as true")


def _check_order(order: Order) -> None:
    if sum(one is not None for one in (order.size, order.notional, order.percent)) != 1:
        raise CommandError("invalid", "order: give one of size, notional and percent")
    if order.post_only and (order.limit is None or order.trigger is not None):
        raise CommandError("invalid", "order: post_only needs a limit, and no trigger")
    if order.reduce_only and (order.stop_loss is not None or order.take_profit is not None):
        raise CommandError(
            "invalid", "order: one that only reduces leaves nothing for a stop_loss or take_profit"
        )
    if order.kind == "tp" and order.trigger is None:
        raise CommandError("invalid", "order: kind is about a trigger, and there is none")


def _plain(value: Number) -> str:
    """Return a number as plain decimal text; a float at the digits that every float has."""
    if isinstance(value, float):
        number = Decimal(f"{value:.{_DIGITS}g}")
        text = f"{number:f}" if number.is_finite() else str(value)
        return text.rstrip("0").rstrip(".") if "." in text else text
    return str(value)


def text_of(value: str | int | float | bool | None) -> str:
    """Return a member as it is recorded."""
    if value is None or isinstance(value, bool):
        return {None: "null", False: "false", True: "true"}[value]
    return _plain(value)


def _default(request: AnyRequest, name: str) -> Any:
    return {field.name: field.default for field in msgspec.structs.fields(type(request))}[name]


def _name(request: AnyRequest) -> str:
    return str(request.__struct_config__.tag)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

"""Changes bytes at random, with regard to their form: a value of JSON or msgpack, a cell of text, or bytes.

Most random bytes are refused by the first check of a reader. A change of one value in a valid document is
not, so it reaches the code behind it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

__all__ = ["WORDS", "mutated"]

_DEEP: Any = None
for _ in range(150):
    _DEEP = [_DEEP]

_TEXTS: Final = (
    *(
        "",
        "0",
        "-0",
        "-1",
        "1",
        "+1",
        " 1",
        "1_0",
        "0x1",
        "1.5",
        "0.00000000000000000001",
        "9" * 19,
        "9" * 40,
    ),
    *("9" * 5000, "1e999", "1e-999", "NaN", "Infinity", "-Infinity", "sNaN", "\u0663", "1e308", "\x00"),
    *("\x1b[2J", "\u202eabc", "=1+1", "@SUM(A1)", "<b>", "'; drop table x", "\ud800", "a" * 3000, " " * 3000),
    *(
        "BTC",
        "ETH",
        "@107",
        "A",
        "B",
        "order",
        "unknownOid",
        "canceled",
        "filled",
        "id=1",
        "Already subscribed: {",
    ),
    *("2024-12-05T00:00:00Z", "0x" + "a" * 32, "0x" + "1" * 40, "asset=1", "trades", "candle", "1m", "1d"),
)
_NUMBERS: Final = (
    *(0, 1, -1, 18, 19, 255, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 9_000_000_000_000),
    *(1_795_000_000_000, 1_795_000_000, 10**15, 1.5, -0.0, 1e308, 5e-324),
)
_VALUES: Final = (*_NUMBERS, None, True, False, [], {}, [[]], [{}], _DEEP, [0] * 300)

WORDS: Final = tuple(
    word.encode("utf-8", "surrogatepass") for word in (*_TEXTS, *(repr(one) for one in _NUMBERS))
)
"""Texts for a dictionary of the coverage-guided fuzzer, and to be put between bytes."""


def mutated(data: bytes, form: str, chance: random.Random, others: tuple[bytes, ...] = ()) -> bytes:
    """Return changed `data`. `others` are further inputs, parts of which may be taken."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        change = _FORMS[form] if chance.random() < 0.7 else _of_bytes
        if others and chance.random() < 0.05:
            other = chance.choice(others)
            data = data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]
        data = change(data, chance)
    return data


def _of_bytes(data: bytes, chance: random.Random) -> bytes:
    at, end = sorted(chance.randint(0, len(data)) for _ in range(2))
    end = min(end, at + chance.choice((1, 4, 32, 1000)))
    match chance.randrange(6):
        case 0:
            return data[:at] + data[end:]
        case 1:
            return data[:at] + data[at:end] * chance.choice((2, 3, 50)) + data[end:]
        case 2:
            return data[:at] + chance.choice(WORDS) + data[end:]
        case 3:
            return data[:at] + chance.randbytes(end - at) + data[end:]
        case 4 if data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
        case _:
            number = chance.choice((0, 1, 255, 2**31, 2**32 - 1, 2**63)) % 2**32
            return data[:at] + number.to_bytes(4, "little") + data[at + 4 :]


def _of_json(data: bytes, chance: random.Random) -> bytes:
    """Change a value; the first byte is not part of the document if that begins with the second."""
    head, body = (data[:1], data[1:]) if data[:1] not in (b"{", b"[") else (b"", data)
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return _of_bytes(data, chance)
    try:
        text = json.dumps(_changed(tree, chance), separators=(",", ":"), ensure_ascii=chance.random() < 0.5)
    except RecursionError:
        return data
    if chance.random() < 0.1:
        text = _raw_number(text, chance)
    return head + text.encode("utf-8", "surrogatepass")


def _raw_number(text: str, chance: random.Random) -> str:
    """Put a number that no writer of JSON writes in place of one, or give a member twice."""
    places = [*re.finditer(r"(?<=[:\[,])-?[0-9][0-9.e+-]*", text)]
    if not places or chance.random() < 0.3:
        return text.replace("{", '{"time":1,"coin":"ETH",', 1)
    place = chance.choice(places)
    odd = chance.choice(
        ("1e999", "-1e999", "NaN", "Infinity", "9" * 25, "9" * 5000, "1.0", "-0", "1e5", "01")
    )
    return text[: place.start()] + odd + text[place.end() :]


def _of_msgpack(data: bytes, chance: random.Random) -> bytes:
    head, body = data[:2], data[2:]
    try:
        tree = msgspec.msgpack.decode(body)
        return head + msgspec.msgpack.encode(_changed(tree, chance))
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError, OverflowError):
        return _of_bytes(data, chance)


def _of_text(data: bytes, chance: random.Random) -> bytes:
    """Change a cell of a line."""
    places = [*re.finditer(rb"[^,;\t\n =\[\]{}\":]+", data)]
    if not places:
        return _of_bytes(data, chance)
    place = chance.choice(places)
    cell = chance.choice((*WORDS, b"", b",", b"\n", b'"', b"[", chance.choice(places)[0]))
    return data[: place.start()] + cell + data[place.end() :]


def _changed(tree: Any, chance: random.Random) -> Any:
    """Return a document with one value changed, anywhere in it."""
    if isinstance(tree, dict) and tree and chance.random() < 0.85:
        key = chance.choice([*tree])
        if chance.random() < 0.1:
            return {one: value for one, value in tree.items() if one != key}
        return {**tree, key: _changed(tree[key], chance)}
    if isinstance(tree, list) and tree and chance.random() < 0.85:
        place = chance.randrange(len(tree))
        match chance.randrange(12):
            case 0:
                return tree[:place] + tree[place + 1 :]
            case 1:
                return tree[:place] + [tree[place]] * chance.choice((2, 20)) + tree[place + 1 :]
            case _:
                return [*tree[:place], _changed(tree[place], chance), *tree[place + 1 :]]
    if isinstance(tree, str) and chance.random() < 0.7:
        return chance.choice(_TEXTS)
    if isinstance(tree, int) and chance.random() < 0.7:
        return chance.choice(_NUMBERS)
    return chance.choice((*_VALUES, *_TEXTS))


_FORMS: Final[dict[str, Callable[[bytes, random.Random], bytes]]] = {
    "bytes": _of_bytes,
    "json": _of_json,
    "msgpack": _of_msgpack,
    "text": _of_text,
}

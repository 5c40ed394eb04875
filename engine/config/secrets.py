"""Finds a private key that was written where a name belongs, before it is recorded or printed.

A configuration is recorded whole, in the journal and in every store, and errors show its values and the
options of a command. So a text that has the shape of a private key is refused wherever it stands, and never
shown in full.
Called with what a person wrote, not with what a journal has recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from engine.errors import ConfigError

__all__ = ["looks_like_key", "refuse_keys"]

_SHAPES: Final = (
    re.compile(r"(0x)?[0-9a-fA-F]{64}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL),
    re.compile(r"([a-z]{3,8} ){11}([a-z]{3,8})(( [a-z]{3,8}){3})*"),
    re.compile(r"[5KL][1-9A-HJ-NP-Za-km-z]{50,51}|[1-9A-HJ-NP-Za-km-z]{87,88}"),
)
"""32 bytes in hex, PEM, the words of a mnemonic (12, 15, 18, 21 or 24), base58 of 32 or 64 bytes."""

_SHOWN: Final = 6


def looks_like_key(text: str) -> bool:
    """Return whether a text has the shape of a private key, or a part of it as in `name=KEY` that of hex.

    Folders of a path are no such parts: some are named after a hash.
    """
    return any(shape.fullmatch(text.strip()) for shape in _SHAPES) or _key_in(text) != ""


def _key_in(text: str) -> str:
    """Return the part of a text that is a key in hex, "" without one."""
    parts = re.split(r"[=:,/]" if "://" in text else r"[=:,]", text)
    return next((part for part in map(str.strip, parts) if _SHAPES[0].fullmatch(part)), "")


def refuse_keys(data: Any, where: str) -> None:
    """Raise ConfigError for a text in `data`, at any depth, that has the shape of a private key."""
    for place, text in _texts(data, where):
        if looks_like_key(text):
            shown = f"{place or 'the file'}: {(_key_in(text) or text.strip())[:_SHOWN]}..."
            raise ConfigError(
                f"{shown} looks like a private key, and this is recorded; put the key into a file of mode "
                "0600, and the name of that file under [venue] key_file"
            )


def _texts(data: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(data, str):
        yield where, data
    elif isinstance(data, dict):
        for key, value in data.items():
            yield where, str(key)
            yield from _texts(value, f"{where}.{key}" if where else str(key))
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value, where)

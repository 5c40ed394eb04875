"""A command in the words of the command line, as lines, screens and the page show it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["asked_words"]

_SIZES: Final = {"size": "{}", "notional": "{} of quote", "percent": "{}%"}


def asked_words(command: str, target: str, arguments: Sequence[tuple[str, str]]) -> str:
    """Return a recorded command in one line, such as "order BTC buy 0.01 stop-loss 90000".

    What is left out is a default. The order of the words is that of `engine ctl`.
    """
    given = dict(arguments)
    if command == "set":
        return f"set {given.get('strategy', '')}.{given.get('name', '')}={given.get('value', '')}"
    said = [command, target, given.pop("side", "")]
    said += [text.format(given.pop(name)) for name, text in _SIZES.items() if name in given]
    for name, value in given.items():
        if value == "true":
            said.append(name.replace("_", "-"))
        elif value != target:
            said.append(f"{name.replace('_', '-')} {value}")
    return " ".join(word for word in said if word)

"""Names of instruments on the command line."""

from __future__ import annotations

from engine.errors import UsageError

__all__ = ["names_in"]


def names_in(text: str) -> tuple[str, ...]:
    """Return the names in the option `--instruments`. Raises UsageError if there are none."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("--instruments names no instrument; write it as --instruments BTC,ETH")
    return names

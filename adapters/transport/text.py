"""Makes text from outside safe to show."""

from __future__ import annotations

__all__ = ["clip"]


def clip(text: str | bytes, length_max: int = 120) -> str:
    """Return printable `text`: quoted, control characters escaped, at most `length_max` long."""
    shown = text[:length_max] if isinstance(text, str) else text[:length_max].decode("utf-8", "replace")
    return ascii(shown)[:length_max] + ("..." if len(text) > length_max else "")

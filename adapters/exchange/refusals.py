"""Refusals of the local exchange, with the codes and texts of a venue."""

from __future__ import annotations

__all__ = ["Refusal", "refuse"]


class Refusal(Exception):
    """A request that is refused."""

    def __init__(self, code: int, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.status = status


def refuse(code: int, text: str, status: int = 400) -> Refusal:
    """Return a refusal to raise."""
    return Refusal(code, text, status)

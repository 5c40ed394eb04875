"""Distributes the subscriptions of a session over connections. Called by each venue's `channels.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from engine.events import InstrumentListed

__all__ = ["distribute"]

_One = TypeVar("_One")


def distribute(
    subscriptions: Iterable[tuple[InstrumentListed, Iterable[_One]]],
    per_connection: int,
    always: Sequence[_One] = (),
) -> list[tuple[tuple[InstrumentListed, ...], tuple[_One, ...]]]:
    """Return the instruments and subscriptions of each connection; an instrument is never split.

    A connection has those of `always`, and takes instruments until it has `per_connection` subscriptions, and
    at least one.
    """
    shares: list[tuple[list[InstrumentListed], list[_One]]] = []
    for listed, wanted in subscriptions:
        own = list(wanted)
        if not shares or len(shares[-1][1]) + len(own) > per_connection:
            shares.append(([], list(always)))
        shares[-1][0].append(listed)
        shares[-1][1].extend(own)
    return [(tuple(carried), tuple(own)) for carried, own in shares]

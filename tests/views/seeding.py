"""Compares two views of one journal: one that ran through a day and one that began with the next.

What only the first can know is left out: rings of earlier records, the times and seqs of what is on the
earlier day, averages of orders that were filled before.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.views.view import View

__all__ = ["alike"]

_EARLIER = frozenset(
    {
        *("seq", "at_ms", "submitted_ms", "updated_seq", "updated_ms", "since_ms", "price_ms"),
        *("average", "reason", "reasons", "log", "signals", "commands", "newest_price_ms", "target_reason"),
        *("last_size", "last_side", "newest", "records", "params", "venue_id", "price"),
    }
)


def alike(through: View, late: View) -> list[str]:
    """Return in what the answers of the two differ."""
    return [
        f"{name}: {one} and {other}"
        for name, one, other in (
            ("seq", through.seq, late.seq),
            ("status", _plain(through.status()), _plain(late.status())),
            ("positions", _plain(through.positions().positions), _plain(late.positions().positions)),
            ("orders", _plain(through.orders().working), _plain(late.orders().working)),
            ("strategies", _plain(through.strategies().strategies), _plain(late.strategies().strategies)),
            ("account", _plain(through.equity().account), _plain(late.equity().account)),
            ("limits", _limits(through), _limits(late)),
        )
        if one != other
    ]


def _limits(view: View) -> tuple[int, int, str]:
    health = view.health()
    return health.commands_minute, health.approvals_minute, health.unreconciled


def _plain(value: Any) -> Any:
    """Return an answer as plain values, without what only a view of the earlier day knows."""
    plain = msgspec.to_builtins(value)

    def kept(one: Any) -> Any:
        if isinstance(one, dict):
            return {key: kept(member) for key, member in one.items() if key not in _EARLIER}
        return [kept(member) for member in one] if isinstance(one, list) else one

    return kept(plain)

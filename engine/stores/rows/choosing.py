"""The tables of a store: those that its section names, and the ones that go with them.

Called by the kinds of stores that have the key `tables`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.errors import ConfigError
from engine.stores.rows.tables import TABLES

__all__ = ["INTERNAL", "choose_tables"]

INTERNAL: Final = frozenset({"cursor", "order_sums", "open_trips"})
"""Tables that only later rows need: they cannot be chosen, and not every store shows them."""
_TOGETHER: Final = (
    frozenset({"orders", "order_sums", "fills", "round_trips", "open_trips"}),
    frozenset({"positions", "position_changes"}),
    frozenset({"footprints", "footprint_levels"}),
    frozenset({"profiles", "profile_levels"}),
)
"""Tables whose rows are made together, of the same events."""


def choose_tables(names: Iterable[str]) -> frozenset[str]:
    """Return the tables that a store holds: the named ones, all without names, and what goes with them.

    Raises ConfigError naming a table that there is not.
    """
    chosen = set(names) or set(TABLES) - INTERNAL
    for name in sorted(chosen):
        if name not in TABLES or name in INTERNAL:
            known = ", ".join(sorted(TABLES.keys() - INTERNAL))
            raise ConfigError(f"stores.tables: there is no table {name!r}; there are {known}")
    for group in _TOGETHER:
        if chosen & group:
            chosen |= group
    return frozenset(chosen | {"instruments"})

"""Gives what one strategy owns to a strategy of another name: book, orders, stops, targets, halts.

Owns which parts of the actors' states name an owner: the fields `owner` and `strategy` of records, the keys
of dicts by owner, and keys that begin with a market and an owner. Called by the registry when a session
begins with moves, a person's decision (`engine live --move OLD=NEW`), after the states are restored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from engine.actors import Actor, Books, Execution, OrderManager, SimulatedVenue
from engine.actors.base import State
from engine.events import PositionChanged
from engine.opening import Timer

__all__ = ["move", "move_timers"]

_OWNER_FIELDS: Final = frozenset({"owner", "strategy"})
_OTHER_KEYS: Final = frozenset({"feeds", "others"})
"""Dicts by the name of a feed or an asset, which may be that of a strategy too."""


def move(actors: Iterable[Actor], old: str, new: str, at_ns: int) -> list[PositionChanged]:
    """Let everything that `old` owns be owned by `new`, which owns nothing yet; return the changes."""
    changed: list[PositionChanged] = []
    for actor in actors:
        if isinstance(actor, Books | OrderManager | Execution | SimulatedVenue):
            actor.restore({name: _moved(value, name, old, new) for name, value in actor.state().items()})
        if isinstance(actor, Books):
            actor.recent = {
                number: [(at_ns, new if owner == old else owner, size) for at_ns, owner, size in booked]
                for number, booked in actor.recent.items()
            }
            for number, owner, _ in actor.all_books():
                if owner == new:
                    changed.append(PositionChanged(at_ns, old, number, 0, 0, 0, 0))
                    changed.append(actor.changed(at_ns, new, number))
        elif isinstance(actor, OrderManager):
            actor.candles = {number: new if one == old else one for number, one in actor.candles.items()}
        elif isinstance(actor, SimulatedVenue) and actor.path is not None:
            actor.path.waiting = [new if one == old else one for one in actor.path.waiting]
    return changed


def move_timers(
    timers: list[Timer], waiting: dict[tuple[str, str], int], old: str, new: str
) -> tuple[list[Timer], dict[tuple[str, str], int]]:
    """Return the sequencer's timers, with those of one strategy given to another."""
    return (
        sorted(
            (due_ns, number, new if actor == old else actor, key, cause)
            for due_ns, number, actor, key, cause in timers
        ),
        {(new if actor == old else actor, key): number for (actor, key), number in waiting.items()},
    )


def _moved(value: Any, name: str, old: str, new: str) -> Any:
    """Return a part of a state with the new owner; `name` is that of the attribute or field it is in."""
    if isinstance(value, State):
        for field in value.__struct_fields__:
            held = getattr(value, field)
            owns = field in _OWNER_FIELDS and held == old
            setattr(value, field, new if owns else _moved(held, field, old, new))
        return value
    if isinstance(value, dict):
        return {
            key if name in _OTHER_KEYS else _key(key, old, new): _moved(item, name, old, new)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | deque):
        moved = [_moved(item, name, old, new) for item in value]
        return deque(moved, value.maxlen) if isinstance(value, deque) else type(value)(moved)
    return value


def _key(key: Any, old: str, new: str) -> Any:
    """Return the key of a dict: an owner, or the number of a market, an owner and what else there is."""
    if key == old:
        return new
    number, _, rest = key.partition(" ") if isinstance(key, str) else ("", "", "")
    if number.isdecimal() and (rest == old or rest.startswith(f"{old} ")):
        return f"{number} {new}{rest[len(old) :]}"
    return key

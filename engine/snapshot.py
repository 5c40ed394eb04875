"""The classes that the state of an actor or a strategy may contain.

Only these are instantiated when a state is restored, so a snapshot cannot run other code. The encoding is
that of `engine.states`. Called by the registry, by sessions and by the bench for strategies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import is_dataclass
from enum import Enum
from types import ModuleType
from typing import Final

import msgspec

import engine.indicators  # noqa: F401  its structs may be in a state that is read back
from engine.floors import PACKAGES
from engine.states import is_named, name_of
from engine.strategies.actor import EarlierOrder, Seen, StrategyActor

__all__ = ["classes_of", "state_classes"]

_SHARED_MODULES: Final = ("engine.events", "engine.indicators")
"""Modules whose structs every actor's state may contain, besides those of its own classes."""

_MOVED: Final[dict[str, type]] = {
    "engine.strategies.base:Seen": Seen,
    "engine.strategies.verbs:OwnOrder": EarlierOrder,
}
"""Classes that states of an earlier version name by the module they were in."""


def classes_of(actor: object) -> dict[str, type]:
    """Return the classes that an actor's state may contain, by their name in snapshots."""
    kinds = [type(actor), *([type(actor.strategy)] if isinstance(actor, StrategyActor) else [])]
    modules = [cls.__module__ for kind in kinds for cls in kind.__mro__]
    own = dict.fromkeys((*_SHARED_MODULES, *modules))
    return state_classes([name for name in own if name in sys.modules]) | _MOVED


def state_classes(modules: Iterable[str]) -> dict[str, type]:
    """Return the structs, dataclasses, named tuples and enums of imported modules, by name in snapshots.

    Includes those nested in classes, and those of modules of a strategy's project that the modules import.
    """
    found: dict[str, type] = {}
    waiting = [sys.modules[name] for name in modules]
    visited = {module.__name__ for module in waiting}
    while waiting:
        for member in list(vars(waiting.pop()).values()):
            if isinstance(member, type):
                _add_classes(member, found)
            elif isinstance(member, ModuleType) and member.__name__ not in visited:
                visited.add(member.__name__)
                if _is_of_project(member):
                    waiting.append(member)
    return found


def _is_of_project(module: ModuleType) -> bool:
    """Return whether a module belongs neither to Python nor to the engine nor to an installed package."""
    top = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None) or ""
    return top not in sys.stdlib_module_names.union(PACKAGES) and "-packages" not in file


def _add_classes(cls: type, found: dict[str, type]) -> None:
    if name_of(cls) in found or cls.__module__ == "builtins":
        return
    if issubclass(cls, msgspec.Struct | Enum) or is_dataclass(cls) or is_named(cls):
        found[name_of(cls)] = cls
    for member in vars(cls).values():
        if isinstance(member, type) and member.__qualname__.startswith(f"{cls.__qualname__}."):
            _add_classes(member, found)

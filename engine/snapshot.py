"""The classes that the state of an actor or a strategy may contain.

Only these are instantiated when a state is restored, so a snapshot cannot run other code. The encoding is
that of `engine.states`. Called by the registry, by sessions and by the bench for strategies.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from types import ModuleType
from typing import Final

import msgspec

import engine.indicators  # noqa: F401  its structs may be in a state that is read back
from engine.floors import PACKAGES
from engine.states import is_named, name_of
from engine.strategies.actor import EarlierOrder, Seen, StrategyActor

__all__ = ["classes_of", "classes_with", "state_classes"]

_SHARED_MODULES: Final = ("engine.events", "engine.indicators")
"""Modules whose structs every actor's state may contain, besides those of its own classes."""

_MOVED: Final[dict[str, type]] = {
    "engine.strategies.base:Seen": Seen,
    "engine.strategies.verbs:OwnOrder": EarlierOrder,
}
"""Classes that states of an earlier version name by the module they were in."""


def classes_of(actor: object) -> Mapping[str, type]:
    """Return the classes that an actor's state may contain, by their name in snapshots."""
    if not isinstance(actor, StrategyActor):
        return classes_with(type(actor))  # type: ignore[arg-type]  # mypy: a class is hashable
    own = classes_with(type(actor))  # type: ignore[arg-type]
    return own | state_classes(_modules_of(type(actor.strategy)))


@cache
def classes_with(kind: type) -> dict[str, type]:
    """Return the classes that the state of an actor of the engine may contain. Not to be changed."""
    return state_classes(dict.fromkeys((*_SHARED_MODULES, *_modules_of(kind)))) | _MOVED


def _modules_of(kind: type) -> list[str]:
    modules = [cls.__module__ for cls in kind.__mro__]
    return [name for name in modules if name in sys.modules and name != "builtins"]


def state_classes(modules: Iterable[str]) -> dict[str, type]:
    """Return the structs, dataclasses, named tuples and enums of imported modules, by name in snapshots.

    Includes those nested in classes, and those of modules of a strategy's project that the modules import.
    The engine's modules do not change once imported, so what they have is looked up once.
    """
    found: dict[str, type] = {}
    waiting = [sys.modules[name] for name in modules]
    visited = {module.__name__ for module in waiting}
    while waiting:
        module = waiting.pop()
        if module.__name__.partition(".")[0] in PACKAGES:
            found = _classes_in(module) | found
            continue
        for member in list(vars(module).values()):
            if isinstance(member, type):
                _add_classes(member, found)
            elif isinstance(member, ModuleType) and member.__name__ not in visited:
                visited.add(member.__name__)
                if _is_of_project(member):
                    waiting.append(member)
    return found


@cache
def _classes_in(module: ModuleType) -> dict[str, type]:
    """Return the classes of a module of the engine. Not to be changed."""
    found: dict[str, type] = {}
    for member in list(vars(module).values()):
        if isinstance(member, type):
            _add_classes(member, found)
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

"""The classes that the state of an actor or a strategy may be made of.

Only these are built when a state is read back, so nothing else can run. The encoding is that of
`engine.states`. Called by the registry, by sessions and by the bench for strategies.
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
from engine.states import name_of

__all__ = ["classes_of", "state_classes"]

_SHARED_MODULES: Final = ("engine.events", "engine.indicators")
"""Where every actor's state may take its structs from, besides the modules its own classes are in."""


def classes_of(actor: object) -> dict[str, type]:
    """Return the classes that an actor's state may be made of, by their name in snapshots."""
    own = dict.fromkeys((*_SHARED_MODULES, *(cls.__module__ for cls in type(actor).__mro__)))
    return state_classes([name for name in own if name in sys.modules])


def state_classes(modules: Iterable[str]) -> dict[str, type]:
    """Return the structs, dataclasses and enums that imported modules show, by their name in snapshots.

    Those inside of classes too, and those of the modules of a strategy's project that they hold.
    """
    found: dict[str, type] = {}
    waiting = [sys.modules[name] for name in modules]
    asked = {module.__name__ for module in waiting}
    while waiting:
        for member in list(vars(waiting.pop()).values()):
            if isinstance(member, type):
                _add_classes(member, found)
            elif isinstance(member, ModuleType) and member.__name__ not in asked:
                asked.add(member.__name__)
                if _is_of_project(member):
                    waiting.append(member)
    return found


def _is_of_project(module: ModuleType) -> bool:
    """Return whether a module is neither Python's nor the engine's nor an installed package's."""
    top = module.__name__.partition(".")[0]
    file = getattr(module, "__file__", None) or ""
    return top not in sys.stdlib_module_names.union(PACKAGES) and "-packages" not in file


def _add_classes(cls: type, found: dict[str, type]) -> None:
    if name_of(cls) in found or cls.__module__ == "builtins":
        return
    if issubclass(cls, msgspec.Struct | Enum) or is_dataclass(cls):
        found[name_of(cls)] = cls
    for member in vars(cls).values():
        if isinstance(member, type) and member.__qualname__.startswith(f"{cls.__qualname__}."):
            _add_classes(member, found)

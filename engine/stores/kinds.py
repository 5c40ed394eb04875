"""Kinds of stores by name: the table of this project's own, then the entry points of installed packages.

A package brings a kind by an entry point of the group `retape.stores` that names a `StoreKind`. Its module is
imported when the kind is asked for, and not before: a driver that is not used need not be installed. Called
by the commands.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.config import nearest
from engine.errors import ConfigError, UsageError
from engine.stores.store import Store

__all__ = ["ENTRY_POINTS", "STORES", "StoreKind", "make_store"]

ENTRY_POINTS: Final = "retape.stores"
"""The group of entry points."""

STORES: Final = {
    "sqlite": "engine.stores.sqlite.store:SQLITE",
    "csv": "engine.stores.csv_bars:CSV",
}
"""The kinds of this project: module:attribute by name."""


class StoreKind(msgspec.Struct, frozen=True):
    """What a name stands for. `settings`: the keys of its `[[stores]]` section besides `kind` and `name`.

    `make` takes the settings and the journal's folder, and returns a store without touching anything yet.
    """

    settings: type[msgspec.Struct]
    make: Callable[[Any, Path], Store]


def make_store(section: Mapping[str, object], root: Path) -> Store:
    """Return the store of a `[[stores]]` section. Raises ConfigError naming the key that is invalid."""
    name = str(section["kind"])
    kind = _find(name)
    given = {key: value for key, value in section.items() if key not in ("kind", "name")}
    known = [field.name for field in msgspec.structs.fields(kind.settings)]
    for key in given:
        if key not in known:
            near = nearest(key, sorted([*known, "kind", "name"]))
            raise ConfigError(f"stores: a store of kind {name!r} has no key {key!r}; {near}")
    try:
        settings = msgspec.convert(given, kind.settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"stores: kind {name!r}: {error}") from None
    return kind.make(settings, root)


def _find(name: str) -> StoreKind:
    if name in STORES:
        module, _, attribute = STORES[name].partition(":")
        kind = getattr(importlib.import_module(module), attribute)
        assert isinstance(kind, StoreKind)
        return kind
    installed: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        installed.setdefault(entry.name, []).append(entry)
    found = installed.get(name, [])
    if not found:
        near = nearest(name, [*STORES, *sorted(installed)])
        raise ConfigError(f"stores: there is no kind of store {name!r}; {near}")
    values = sorted({entry.value for entry in found})
    if len(values) > 1:
        raise UsageError(
            f"two packages bring a kind of store {name!r}: {' and '.join(values)}; uninstall one of them"
        )
    try:
        loaded = found[0].load()
    except Exception as error:
        words = f"{type(error).__name__}: {error}"
        raise UsageError(f"the kind of store {name!r} cannot be loaded from {values[0]}: {words}") from error
    if not isinstance(loaded, StoreKind):
        raise UsageError(
            f"the kind of store {name!r} is {loaded!r}, which is not an engine.stores.kinds.StoreKind"
        )
    return loaded

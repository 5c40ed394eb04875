"""Kinds of stores by name: the table of this project's own, then the entry points of installed packages.

A package brings a kind by an entry point of the group `retape.stores` that names a `StoreKind`. Its module is
imported only when the kind is used, so that unused drivers need not be installed. Called
by the commands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.config import nearest
from engine.errors import ConfigError, UsageError
from engine.plugins import Plugins
from engine.stores.store import Store

__all__ = ["ENTRY_POINTS", "SCHEMES", "STORES", "StoreKind", "make_store", "store_at"]

ENTRY_POINTS: Final = "retape.stores"
"""The group of entry points."""

STORES: Final = {
    "sqlite": "engine.stores.sqlite.store:SQLITE",
    "csv": "engine.stores.csv_bars:CSV",
    "postgres": "engine.stores.postgres.store:POSTGRES",
    "questdb": "engine.stores.questdb.store:QUESTDB",
    "redis": "engine.stores.redis.store:REDIS",
    "parquet": "engine.stores.parquet.store:PARQUET",
}
"""The kinds of this project: module:attribute by name."""

SCHEMES: Final = {
    "postgresql": ("postgres", "url"),
    "postgres": ("postgres", "url"),
    "http": ("questdb", "url"),
    "https": ("questdb", "url"),
    "redis": ("redis", "url"),
    "rediss": ("redis", "url"),
    "parquet": ("parquet", "path"),
}
"""The kinds of stores by the schemes of their addresses, for commands that take an address.

The second is the key of the section that takes it: the whole as `url`, what follows the scheme as `path`.
"""

_KINDS: Final = Plugins("kind of store", STORES, ENTRY_POINTS)


class StoreKind(msgspec.Struct, frozen=True):
    """A kind of store. `settings`: the keys of its `[[stores]]` section besides `kind` and `name`.

    `make` takes the settings and the journal's folder, and returns a store without any I/O.
    """

    settings: type[msgspec.Struct]
    make: Callable[[Any, Path], Store]


def make_store(section: Mapping[str, object], root: Path) -> Store:
    """Return the store of a `[[stores]]` section. Raises ConfigError naming the key that is invalid."""
    name = str(section["kind"])
    try:
        kind = _KINDS.find(name)
    except UsageError as error:
        raise ConfigError(f"stores: {error}") from error
    if not isinstance(kind, StoreKind):
        raise ConfigError(
            f"stores: the kind of store {name!r} is {kind!r}, not an engine.stores.kinds.StoreKind"
        )
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
    try:
        return kind.make(settings, root)
    except ConfigError as error:
        raise ConfigError(f"stores: kind {name!r}: {error}") from None


def store_at(url: str, root: Path) -> Store:
    """Return the store at an address, postgresql://HOST/NAME or parquet://FOLDER. Raises ConfigError."""
    scheme, _, path = url.partition("://")
    if not path or scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise ConfigError(
            f"a store's address begins with {known}, or is a name of the configuration's [[stores]]"
        )
    kind, key = SCHEMES[scheme]
    return make_store({"kind": kind, key: path if key == "path" else url}, root)

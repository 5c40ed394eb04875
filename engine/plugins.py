"""Finds a part by name: in a table of this project's own, then among the entry points of installed packages.

A module is imported only when its part is needed. Used for venues (`engine.loading.venues`) and for kinds of
stores (`engine.stores.kinds`).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec

from engine.config import nearest
from engine.errors import UsageError

__all__ = ["Plugins"]


class Plugins(msgspec.Struct, frozen=True):
    """The parts of one kind. `table` is module:attribute by name, `group` the group of entry points.

    `what` names the kind in errors, such as "venue".
    """

    what: str
    table: Mapping[str, str]
    group: str

    def names(self) -> list[str]:
        """Return every name that can be found: those of the table, then the others sorted."""
        return [*self.table, *sorted(name for name in self._installed() if name not in self.table)]

    def find(self, name: str) -> Any:
        """Return the object of this name. A name of the table cannot be taken by a package.

        Raises UsageError with the nearest names, and for an entry point that is ambiguous or does not load.
        """
        if name in self.table:
            module, _, attribute = self.table[name].partition(":")
            return getattr(importlib.import_module(module), attribute)
        found = self._installed().get(name, [])
        if not found:
            raise UsageError(f"there is no {self.what} {name!r}; {nearest(name, self.names())}")
        values = sorted({entry.value for entry in found})
        if len(values) > 1:
            packages = " and ".join(values)
            raise UsageError(
                f"two installed packages bring a {self.what} {name!r}: {packages}; uninstall one of them"
            )
        try:
            return found[0].load()
        except (Exception, SystemExit) as error:
            words = f"{type(error).__name__}: {error}"
            raise UsageError(
                f"the {self.what} {name!r} cannot be loaded from {values[0]}: {words}"
            ) from error

    def _installed(self) -> dict[str, list[EntryPoint]]:
        found: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=self.group):
            found.setdefault(entry.name, []).append(entry)
        return found

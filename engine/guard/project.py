"""Finds the modules of a strategy: its own, and those of its project that it imports.

Modules of the engine, the standard library and installed packages do not belong to it. Installed packages
are listed, so that traps can be set in them. Nothing is imported. Called before a strategy is loaded.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Final, NamedTuple

from engine.floors import PACKAGES
from engine.guard.reading import Finding, Source, find

__all__ = ["Project", "read_project"]

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_MODULES_MAX: Final = 500
"""Upper bound on the modules read. A strategy with more imports code that is not its own."""
_KEPT: Final = 16
"""How many parsed modules are kept; one of 100 lines takes half a megabyte."""


class Project(NamedTuple):
    """A strategy's modules by name, their files (as in code objects), and the installed packages they use."""

    sources: dict[str, Source]
    files: dict[str, str]
    libraries: tuple[str, ...]

    def findings(self) -> list[Finding]:
        """Return the banned uses in its modules."""
        return list(_found(tuple(self.sources.items())))


def read_project(module: str) -> Project:
    """Return the project of a strategy's module. Unreadable modules are skipped: importing them will fail."""
    sources: dict[str, Source] = {}
    files: dict[str, str] = {}
    libraries: dict[str, None] = {}
    own = module.partition(".")[0]
    waiting = _with_parents(module)
    seen = set[str]()
    while waiting and len(sources) < _MODULES_MAX:
        name = waiting.pop(0)
        top = name.partition(".")[0]
        if name in seen or (name != module and top in PACKAGES) or top in sys.stdlib_module_names:
            continue
        seen.add(name)
        spec = _spec_of(name)
        if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
            if spec is not None and spec.origin is not None and top != own:
                libraries[top] = None
            continue
        if top != own and _INSTALLED & set(Path(spec.origin).parts):
            libraries[top] = None
            continue
        shown = name.replace(".", "/") + ("/__init__.py" if spec.submodule_search_locations else ".py")
        try:
            source = _parsed(name, shown, Path(spec.origin).read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError, RecursionError):
            continue
        sources[name] = source
        files[spec.origin] = shown
        for imported in source.imports:
            waiting += _with_parents(imported)
    return Project(sources, files, tuple(libraries))


@lru_cache(_KEPT)
def _parsed(name: str, shown: str, text: str) -> Source:
    """Return a parsed module. Each session of a run of many days loads the same ones."""
    return Source(name, shown, text)


@lru_cache(_KEPT)
def _found(sources: tuple[tuple[str, Source], ...]) -> tuple[Finding, ...]:
    return tuple(find(dict(sources)))


def _with_parents(name: str) -> list[str]:
    """Return the packages of a module and the module: importing it runs all of them."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)] if all(parts) else []


def _spec_of(name: str) -> ModuleSpec | None:
    """Return the spec of a module without importing its packages. Each part is searched in the one before."""
    path: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = name.split(".")
    for part in parts:
        try:
            spec = PathFinder.find_spec(part, path)
        except (ImportError, ValueError, OSError):
            return None
        if spec is None:
            return None
        path = _folders(spec, part, sys.path if path is None else path)
    return spec


def _folders(spec: ModuleSpec, tail: str, above: list[str]) -> list[str]:
    """Return the folders of a package's modules; guessed without an `__init__`, since nothing is imported."""
    if spec.origin is not None:
        return list(spec.submodule_search_locations or ())
    return [str(Path(folder) / tail) for folder in above if (Path(folder) / tail).is_dir()]

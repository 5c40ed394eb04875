"""Finds the modules that a strategy consists of: its own, and those of its project that it imports.

Not the engine's, the standard library's or installed packages': the packages among these are named, so that
traps can be set in them. Modules are found without importing any. Called before a strategy is loaded.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Final, NamedTuple

from engine.floors import PACKAGES
from engine.guard.reading import Finding, Source, find

__all__ = ["Project", "read_project"]

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})
_MODULES_MAX: Final = 500
"""How many modules of a project are read; a strategy with more has imported something that is not its own."""


class Project(NamedTuple):
    """A strategy's modules by name, their files (as code objects name them) and the packages they import."""

    sources: dict[str, Source]
    files: dict[str, str]
    libraries: tuple[str, ...]

    def findings(self) -> list[Finding]:
        """Return what its modules use and may not."""
        return find(self.sources)


def read_project(module: str) -> Project:
    """Return the project of a strategy's module. What cannot be read is left to the import to tell."""
    sources: dict[str, Source] = {}
    files: dict[str, str] = {}
    libraries: dict[str, None] = {}
    own = module.partition(".")[0]
    waiting = _with_parents(module)
    asked = set[str]()
    while waiting and len(sources) < _MODULES_MAX:
        name = waiting.pop(0)
        top = name.partition(".")[0]
        if name in asked or (name != module and top in PACKAGES) or top in sys.stdlib_module_names:
            continue
        asked.add(name)
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
            source = Source(name, shown, Path(spec.origin).read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError, RecursionError):
            continue
        sources[name] = source
        files[spec.origin] = shown
        for imported in source.imports():
            waiting += _with_parents(imported)
    return Project(sources, files, tuple(libraries))


def _with_parents(name: str) -> list[str]:
    """Return a module's packages and itself: importing it runs them all."""
    parts = name.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)] if all(parts) else []


def _spec_of(name: str) -> ModuleSpec | None:
    """Return where a module is, without importing its packages: each part is looked for in the one before."""
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
    """Return where the modules of a package are. One without an `__init__` could tell once it is imported."""
    if spec.origin is not None:
        return list(spec.submodule_search_locations or ())
    return [str(Path(folder) / tail) for folder in above if (Path(folder) / tail).is_dir()]

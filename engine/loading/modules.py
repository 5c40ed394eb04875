"""Loads the modules of a run for that run only, so that runs in one process are independent.

Inside `own_modules` every module of a strategy's project is imported again, and removed at the end: a counter
at the top of a module starts as in a new process, and two projects can have modules of the same name. Modules
imported before, such as the same one in a notebook, are restored. Installed packages are
shared. One run at a time: `sys.modules` and `sys.path` belong to the process, so runs in several threads wait
for each other; several at once need several processes.

Called by the command line around every command, by `replay.verify` and `replay.backtest`.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from engine.floors import PACKAGES
from engine.guard import Project, arm, disarm

__all__ = ["add_folder", "add_project", "own_modules", "project_folder", "search_folders"]

_lock = threading.RLock()


class _Run:
    """The modules of one run. `hidden` are earlier modules of the same names, `files` the watched files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.more: list[Path] = []
        self.names: set[str] = set()
        self.hidden: dict[str, ModuleType] = {}
        self.files: list[str] = []

    def hide(self, names: Iterable[str]) -> None:
        """Remove these modules so that they are imported again, unless this run has imported them."""
        for name in names:
            if name not in self.names:
                self.names.add(name)
                known = sys.modules.pop(name, None)
                if known is not None:
                    self.hidden[name] = known

    def restore(self) -> None:
        """Remove the modules of this run and restore the earlier ones."""
        for name in self.names:
            sys.modules.pop(name, None)
        sys.modules.update(self.hidden)
        disarm(self.files)


_runs: list[_Run] = []
"""The active runs, innermost last."""


@contextmanager
def own_modules(folder: Path | None = None) -> Iterator[None]:
    """Import the modules of strategies for this block only: from `folder`, or the working directory.

    A block inside another one has modules of its own.
    """
    with _lock:
        run = _Run(Path.cwd() if folder is None else folder.resolve())
        path, writes_no_bytecode = list(sys.path), sys.dont_write_bytecode
        if folder is not None:
            sys.path.insert(0, str(run.folder))
        # Bytecode identifies its source by size and second: an edit within a second would go unnoticed.
        sys.dont_write_bytecode = True
        _runs.append(run)
        try:
            yield
        finally:
            _runs.pop()
            sys.dont_write_bytecode = writes_no_bytecode
            sys.path[:] = path
            run.restore()


def project_folder() -> Path:
    """Return the folder searched for modules of strategies, before installed packages."""
    return _runs[-1].folder if _runs else Path.cwd()


def add_folder(folder: Path) -> None:
    """Search this folder for strategies too, after the project's folder and before installed packages.

    Lasts until the end of the run. Called for the folder of a command's configuration file.
    """
    folder = folder.resolve()
    if not _runs or folder in search_folders():
        return
    _runs[-1].more.append(folder)
    own_first = bool(sys.path) and sys.path[0] in ("", str(project_folder()))
    sys.path.insert(int(own_first), str(folder))


def search_folders() -> list[Path]:
    """Return the folders that are searched for strategies, in their order."""
    return [project_folder(), *(_runs[-1].more if _runs else [])]


def add_project(project: Project) -> None:
    """Guard the files of a strategy's project; from now on its modules belong to the current run."""
    armed = arm(project.files)
    if _runs:
        importlib.invalidate_caches()
        _runs[-1].hide(_with_parents(project.sources))
        _runs[-1].files += armed


def _with_parents(names: Iterable[str]) -> Iterator[str]:
    """Yield these modules and their packages, except the engine's."""
    for name in names:
        parts = name.split(".")
        if parts[0] not in PACKAGES:
            yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))

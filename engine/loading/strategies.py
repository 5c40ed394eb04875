"""Loads strategies by name, after the guard has checked their sources, and hashes their projects.

The only module that imports strategies.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path

from engine.config import nearest
from engine.errors import NotDeterministic, UsageError
from engine.floors import PACKAGES
from engine.guard import read_project, refuse, set_traps
from engine.guard.names import hidden_names
from engine.loading.fingerprint import code_fingerprint, version
from engine.loading.modules import add_project, project_folder, search_folders
from engine.session import SessionBuilder, source_hash
from engine.strategies.base import Strategy

__all__ = ["load_strategy", "make_builder", "project_hash"]


def make_builder(*, continues: bool = False) -> SessionBuilder:
    """Return the builder of a session's actors. `continues`: it follows sessions of earlier code too."""
    return SessionBuilder(load_strategy, code_fingerprint(), version(), project_hash, continues=continues)


def load_strategy(use: str) -> type[Strategy]:
    """Return the strategy class named module:Class, from the project's folder or an installed package.

    The project's folder is the working directory, or the argument of `own_modules`.

    Raises UsageError with the nearest names, or with the line of an attribute that hides a name of the base
    class (`engine.guard.names`); NotDeterministic for one that uses what differs from run to run
    (see `engine.guard`), which is then not imported.
    """
    module_name, colon, class_name = use.partition(":")
    if not colon or not module_name or not class_name:
        name = Path(use).stem
        example = (
            f"{name}:{name.title()}"
            if (project_folder() / f"{name}.py").is_file()
            else "engine.strategies.crossover:Crossover"
        )
        raise UsageError(f"{use!r} is not module:Class; write it as {example}")
    if module_name.endswith(".py"):
        dotted = ".".join(Path(module_name).with_suffix("").parts)
        raise UsageError(f"{use!r} is not module:Class; write it as {dotted}:{class_name}")
    _check_name(module_name)
    folder = project_folder()
    if str(folder) not in sys.path and not ("" in sys.path and folder == Path.cwd()):
        sys.path.insert(0, str(folder))
    project = read_project(module_name)
    refuse(project.findings())
    add_project(project)
    try:
        found = importlib.util.find_spec(module_name) if _is_here(module_name) else None
    except (ImportError, ValueError):
        found = None
    except (Exception, SystemExit) as error:
        raise UsageError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    if found is None:
        folders = search_folders()
        known = sorted(path.stem for each in folders for path in each.glob("*.py"))
        near = nearest(module_name, [*known, "engine.strategies.crossover"])
        places = ", ".join(str(each) for each in folders)
        raise UsageError(f"there is no module {module_name!r} in {places} or installed; {near}")
    try:
        module = importlib.import_module(module_name)
    except NotDeterministic:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    set_traps(project.sources, project.libraries)
    candidates = [
        name
        for name, member in vars(module).items()
        if isinstance(member, type) and issubclass(member, Strategy) and member is not Strategy
    ]
    chosen = vars(module).get(class_name)
    if not isinstance(chosen, type) or not issubclass(chosen, Strategy) or chosen is Strategy:
        there = nearest(class_name, candidates) if candidates else "it has none: no class of it is a Strategy"
        raise UsageError(f"{module_name} has no strategy {class_name!r}; {there}")
    refuse(hidden_names(chosen, project.sources), UsageError)
    return chosen


def _is_here(module_name: str) -> bool:
    """Return whether an import would find the module now, in this project or among what is installed.

    One that a program imported before, from the folder of another project, is not here.
    """
    top = module_name.partition(".")[0]
    known = sys.modules.pop(top, None)
    try:
        return importlib.util.find_spec(top) is not None
    finally:
        if known is not None:
            sys.modules[top] = known


def _check_name(module_name: str) -> None:
    """Raise UsageError for a user's module with the name of one of the engine's packages."""
    top, _, rest = module_name.partition(".")
    place = project_folder() / top
    if top not in PACKAGES or not (place.exists() or place.with_suffix(".py").is_file()):
        return
    try:
        found = importlib.util.find_spec(module_name) is not None
    except (ImportError, ValueError):
        found = False
    if not rest or not found:
        raise UsageError(f"{module_name}: {top!r} is a package of the engine; give your module another name")


def project_hash(cls: type[Strategy]) -> str:
    """Return 16 hex digits of a strategy's module and of all modules of its project that it imports."""
    files = read_project(cls.__module__).files
    if not files:
        return source_hash(cls)
    state = hashlib.blake2b(digest_size=8)
    for path, shown in sorted(files.items(), key=lambda item: item[1]):
        state.update(shown.encode() + b"\0" + Path(path).read_bytes() + b"\0")
    return state.hexdigest()

"""Catches at run time the banned uses that reading the source cannot find.

Two mechanisms, neither with a cost per event. First, in a strategy's modules and in the installed packages
they import, globals that are a banned module or function are replaced by stand-ins; those in packages refuse
only clocks and randomness. Second, an audit hook sees every file, socket and process that is opened. Both
refuse only if a strategy's code is on the stack with no code of the engine above it; other callers are not
affected. A replay shows what both miss: a clock read in C, a class, a function stored in a container.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from engine.errors import NotDeterministic
from engine.guard.rules import HINTS, HOLDERS, MODULES, banned_name

__all__ = ["arm", "disarm", "set_traps"]

_GUARDED: Final[dict[str, str]] = {}
"""Files of loaded strategies: the name in code objects to the path in messages."""

_ENGINE: Final = str(Path(__file__).resolve().parent.parent)
_LINECACHE: Final = linecache.__file__
_IMPORTING: Final = "<frozen importlib"
_FUNCTIONS: Final = (BuiltinFunctionType, FunctionType, MethodType)
_LIBRARY_FAMILIES: Final = frozenset({"clock", "chance"})

_AUDITED: Final = {
    # The first part of an audit event's name; see the audit events table in Python's documentation.
    **dict.fromkeys(("open", "os", "shutil", "tempfile", "glob", "sqlite3", "fcntl", "mmap"), "files"),
    **dict.fromkeys(("socket", "urllib", "http", "ftplib", "smtplib", "imaplib", "poplib"), "network"),
    **dict.fromkeys(("subprocess", "_thread", "signal", "pty", "webbrowser"), "tasks"),
    "time": "clock",
}
_ALSO: Final = {
    "os": ("posix", "nt"),
    "os.path": ("posixpath", "ntpath", "genericpath"),
    "posixpath": ("genericpath",),
    "ntpath": ("genericpath",),
}
"""Other `__module__` values of the functions of a module."""
_hooked = False


def arm(files: Mapping[str, str]) -> list[str]:
    """Watch these files from now on: a mapping of the name in code objects to the path in messages.

    Returns those that were not watched before.
    """
    global _hooked
    added = [file for file in files if file not in _GUARDED]
    _GUARDED.update(files)
    if not _hooked:
        _hooked = True
        sys.addaudithook(_audit)
    return added


def disarm(files: Iterable[str]) -> None:
    """Stop watching these files."""
    for file in files:
        _GUARDED.pop(file, None)


def set_traps(modules: Iterable[str], libraries: Iterable[str]) -> None:
    """Replace banned globals in a strategy's imported modules and in the packages they import."""
    functions = _banned_functions(tuple(map(sys.modules.get, MODULES)))
    for name in modules:
        if name in sys.modules:
            _replace(sys.modules[name], functions, strict=True)
    tops = frozenset(libraries)
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in tops and isinstance(module, ModuleType):
            _replace(module, functions, strict=False)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    family = _AUDITED.get(event.partition(".")[0])
    if family is not None:
        _refuse(event, family)


def _refuse(what: str, family: str) -> None:
    """Raise NotDeterministic if a strategy's code led to this call."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        shown = _GUARDED.get(file)
        if shown is not None:
            raise NotDeterministic(f"{shown}:{frame.f_lineno}: comes to {what}(): {HINTS[family]}")
        # Imports and tracebacks read files, and so may the engine.
        if file.startswith(_IMPORTING) or file == _LINECACHE:
            return
        if file.startswith(_ENGINE) and file != __file__:
            return
        frame = frame.f_back


class _TrappedModule(ModuleType):
    """Replaces a module: passes allowed names on, refuses the others to a strategy."""

    def __init__(self, module: ModuleType, origin: str, *, strict: bool) -> None:
        super().__init__(module.__name__, module.__doc__)
        self.__trapped__ = (module, origin, strict)

    def __getattr__(self, name: str) -> Any:
        module, origin, strict = vars(self)["__trapped__"]
        value = getattr(module, name)
        full = f"{origin}.{name}"
        if isinstance(value, ModuleType) and _concerns(full, strict):
            value = _TrappedModule(value, full, strict=strict)
        else:
            banned, family = banned_name(full)
            if banned and (strict or family in _LIBRARY_FAMILIES):
                _refuse(banned, family)
                return value
        # Cache an allowed name, so that it is as fast as in the module itself.
        vars(self)[name] = value
        return value


class _TrappedFunction:
    """Replaces a function that a strategy may not call."""

    def __init__(self, function: Any, origin: str, family: str) -> None:
        self._function = function
        self._origin = origin
        self._family = family

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        _refuse(self._origin, self._family)
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)


def _concerns(origin: str, strict: bool) -> bool:
    """Return whether a module contains banned names."""
    if strict:
        return origin in HOLDERS or bool(banned_name(origin)[0])
    return banned_name(origin)[1] in _LIBRARY_FAMILIES


def _replace(module: ModuleType, functions: Mapping[Any, str], *, strict: bool) -> None:
    own = vars(module)
    for name, value in list(own.items()):
        if name.startswith("__"):
            continue
        if isinstance(value, ModuleType) and not isinstance(value, _TrappedModule):
            if _concerns(value.__name__, strict):
                own[name] = _TrappedModule(value, value.__name__, strict=strict)
        elif isinstance(value, _FUNCTIONS):
            origin = functions.get(value, "")
            family = banned_name(origin)[1]
            if family and (strict or family in _LIBRARY_FAMILIES):
                own[name] = _TrappedFunction(value, origin, family)


@lru_cache(1)
def _banned_functions(modules: tuple[ModuleType | None, ...]) -> Mapping[Any, str]:
    """Return the functions of the banned modules of the standard library, with their names.

    `modules` are those of `MODULES`, None where one is not imported.

    Only functions defined there: `random` also contains `math.log`.
    """
    found: dict[Any, str] = {}
    for name, module in zip(MODULES, modules, strict=True):
        if module is None or name.partition(".")[0] not in sys.stdlib_module_names:
            continue
        for key, value in vars(module).items():
            if (
                isinstance(value, _FUNCTIONS)
                and banned_name(f"{name}.{key}")[0]
                and _is_defined_in(value, name)
            ):
                found.setdefault(value, f"{name}.{key}")
    return found


def _is_defined_in(function: Any, module: str) -> bool:
    """Return whether a function is defined in a module. `random.random` is a method of an object of it."""
    made_in = getattr(function, "__module__", None) or type(getattr(function, "__self__", None)).__module__
    return made_in in (module, f"_{module}", *_ALSO.get(module, ()))

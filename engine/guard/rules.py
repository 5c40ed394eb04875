"""The names that a strategy may not use, and what to use instead.

Owns the table. `banned_name` looks up one name: `os.environ.get` is banned like `os.environ`.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CLASSES", "HINTS", "HOLDERS", "MODULES", "banned_name"]

HINTS: Final = {
    "clock": "a strategy has no clock; use self.now_ns",
    "zone": "without a time zone it is the machine's; pass UTC",
    "chance": "chance differs from run to run; use self.random",
    "files": "a strategy reads and writes no files; give it params",
    "network": "a strategy has no network; it learns from events",
    "tasks": "a strategy runs no process, thread or task; it is called per event",
    "environment": "a strategy sees nothing of the machine; give it params",
    "identity": "its result differs from run to run; use a number or name of your own",
    "console": "a strategy has no console; use self.plot or a reason",
    "code": "it hides what is used; write it out",
    "order": "the order of a set differs from run to run; use sorted()",
    "shared": "no snapshot holds it; make it in on_start and keep it on self",
    "name": "the base class Strategy has this name; choose another",
    "engine": "a strategy builds on engine.strategies, indicators, events and values",
}
"""The second half of an error message, by family: why it is refused and what to do instead."""


def _whole(family: str, names: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return modules of which every name is banned."""
    return {name: (family, frozenset()) for name in names.split()}


def _but(family: str, allowed: str) -> tuple[str, frozenset[str]]:
    """Return the family of a module and the names in it that are allowed."""
    return family, frozenset(allowed.split())


def _single(family: str, names: str, *, of: str) -> dict[str, str]:
    return {f"{of}.{name}": family for name in names.split()}


_PATHS: Final = _but(
    "files",
    "join basename dirname split splitext normpath commonprefix commonpath isabs sep altsep extsep curdir",
)

MODULES: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "time": _but("clock", "struct_time"),
    **_whole("clock", "timeit sched"),
    "secrets": _but("chance", "compare_digest"),
    "uuid": _but("chance", "UUID uuid3 uuid5 NAMESPACE_DNS NAMESPACE_OID NAMESPACE_URL NAMESPACE_X500"),
    **_whole("chance", "random _random numpy.random"),
    "os": _but("files", "sep linesep PathLike fspath fsencode fsdecode"),
    **dict.fromkeys(("os.path", "posixpath", "ntpath"), _PATHS),
    "pathlib": _but("files", "PurePath PurePosixPath PureWindowsPath"),
    "io": _but("files", "StringIO BytesIO"),
    **_whole("files", "shutil tempfile sqlite3 dbm shelve glob fileinput mmap fcntl linecache zoneinfo"),
    **_whole("files", "gzip bz2 lzma zipfile tarfile posix nt"),
    "http": _but("network", "HTTPStatus HTTPMethod"),
    "urllib": _but("network", "parse"),
    **_whole("network", "socket ssl socketserver selectors select ftplib smtplib imaplib poplib telnetlib"),
    **_whole(
        "network", "httpx requests aiohttp urllib3 websocket websockets trio_websocket xmlrpc webbrowser"
    ),
    **_whole("tasks", "subprocess threading _thread multiprocessing asyncio concurrent trio anyio queue"),
    **_whole("tasks", "signal pty ctypes"),
    "sys": _but("environment", "maxsize float_info int_info exit version_info float_repr_style"),
    **_whole("environment", "platform locale getpass pwd grp resource site"),
    **_whole("code", "importlib imp runpy code"),
    **_whole("console", "logging"),
    **_whole("engine", "engine.journal engine.runtime engine.stores engine.commands engine.cli"),
    **_whole("engine", "engine.config engine.guard adapters replay"),
}
"""Banned modules, each with its family and the names in it that are allowed."""

_NAMES: Final = {
    **_single("clock", "now utcnow today", of="datetime.datetime"),
    **_single("clock", "today", of="datetime.date"),
    **_single("zone", "fromtimestamp", of="datetime.date"),
    **_single("clock", "now utcnow today", of="pandas.Timestamp"),
    **_single("clock", "formatdate localtime make_msgid", of="email.utils"),
    **_single("chance", "samples", of="statistics.NormalDist"),
    **_single("shared", "getcontext setcontext", of="decimal"),
    **_single("console", "pprint pp", of="pprint"),
    **_single("console", "warn warn_explicit", of="warnings"),
    **_single("clock", "times", of="os"),
    **_single("chance", "urandom getrandom", of="os"),
    **_single(
        "environment", "environ environb getenv getenvb putenv unsetenv uname cpu_count getlogin", of="os"
    ),
    **_single("environment", "getuid getgid getloadavg name getcwd", of="os"),
    **_single(
        "tasks", "fork forkpty system popen kill killpg abort _exit getpid getppid wait waitpid", of="os"
    ),
    **_single("tasks", "posix_spawn posix_spawnp execv execve execvp execl execle execlp nice", of="os"),
    **_single("engine", "SystemClock SystemIds", of="engine.clock"),
    **_single("files", "open", of="builtins"),
    **_single("identity", "id hash", of="builtins"),
    **_single("console", "print input breakpoint", of="builtins"),
    **_single("code", "eval exec compile globals __import__ __builtins__ __loader__", of="builtins"),
}
"""Banned names of modules that are otherwise allowed, or with another family than their module."""


def banned_name(origin: str) -> tuple[str, str]:
    """Return the banned name that `origin` is or begins with, and its family; ("", "") if it is allowed."""
    parts = origin.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in _NAMES:
            return prefix, _NAMES[prefix]
        if prefix in MODULES:
            family, allowed = MODULES[prefix]
            if length == len(parts):
                return prefix, family
            return ("", "") if parts[length] in allowed else (f"{prefix}.{parts[length]}", family)
    return "", ""


HOLDERS: Final = frozenset(
    ".".join(parts[:length])
    for parts in (name.split(".") for name in (*MODULES, *_NAMES))
    for length in range(1, len(parts))
)
"""Allowed modules and classes that contain banned names."""

CLASSES: Final = frozenset({"datetime.datetime", "datetime.date"})
"""Classes from which a strategy may not derive: the subclass would inherit banned methods."""

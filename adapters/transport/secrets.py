"""Secrets: reads a key, limits its use, and never shows it.

Promises: read once, at the start of an armed session; a file must be a regular one that only its owner may
read; a variable is taken out of the environment, used or not; from the moment it is read the key is a
`Secret`, which no text of this program can show, tracebacks with locals included, and the process leaves no
core dump and can be read by no other process of its user. Called by the key loaders of venues, for an armed
session only.

What a process was started with stays readable in `/proc/PID/environ` of its parents, and cannot be erased
from there: a file, the keyring or a credential of systemd (`key_file = "/run/credentials/..."`) is better.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Final, NoReturn, Protocol, TypeVar

from engine.errors import SafetyRefusal

__all__ = ["KeyPlaces", "Secret", "read_secret"]

_BYTES_MAX: Final = 4096
_KEYRING: Final = "retape"
_PR_SET_DUMPABLE: Final = 4
_Result = TypeVar("_Result")


class KeyPlaces(Protocol):
    """Where a configuration says that a key is: the first that is given counts."""

    @property
    def key_file(self) -> str:
        """A file of mode 0600."""
        ...

    @property
    def key_env(self) -> str:
        """A variable of the environment."""
        ...

    @property
    def key_ring(self) -> str:
        """An entry of the desktop's keyring."""
        ...


class Secret:
    """A text that can be used but is never shown by repr, copy, pickle or tracebacks."""

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text.strip()

    def use(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Return function(text, *arguments). An error leaves without the frames that saw the text."""
        try:
            return function(self.__text, *arguments)
        except BaseException as error:
            error.__traceback__ = error.__context__ = error.__cause__ = None
            raise

    def __bool__(self) -> bool:
        return bool(self.__text)

    def __repr__(self) -> str:
        return "Secret(...)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be copied out of its process")


def read_secret(
    places: KeyPlaces, environ: MutableMapping[str, str], section: str, extra: str
) -> tuple[Secret, str]:
    """Return the configured key and where it was found: file, else variable, else keyring.

    `section` of the configuration and the `extra` that installs the keyring are named in errors. Raises
    SafetyRefusal.
    """
    _keep_memory_private()
    # Out of the environment in any case: no child of this process is to inherit it.
    variable = Secret(environ.pop(places.key_env, ""))
    if places.key_file:
        return _from_file(Path(places.key_file)), places.key_file
    if variable:
        return variable, f"the variable {places.key_env}"
    if places.key_ring:
        return _from_keyring(places.key_ring, extra), f"the keyring entry {places.key_ring}"
    raise SafetyRefusal(
        f"there is no key: set key_file (mode 0600) under [{section}], or the variable {places.key_env}"
    )


def _keep_memory_private() -> None:
    """Leave no core dump, and let no other process of this user read this one's memory or environment."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _from_file(path: Path) -> Secret:
    """Return what a key file holds. Raises SafetyRefusal if others can read it, or if it is not a file."""
    try:
        # No link is followed, and what is checked is what is read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise SafetyRefusal(f"{path}: the key file cannot be read: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise SafetyRefusal(f"{path}: is not a regular file")
        if found.st_mode & 0o077:
            mode = stat.S_IMODE(found.st_mode)
            raise SafetyRefusal(f"{path}: others may read it (mode {mode:04o}); chmod 600 {path}")
        if found.st_uid not in (os.geteuid(), 0):
            raise SafetyRefusal(f"{path}: belongs to another user")
        return Secret(os.read(descriptor, _BYTES_MAX).decode("ascii", "replace"))
    finally:
        os.close(descriptor)


def _from_keyring(name: str, extra: str) -> Secret:
    try:
        import keyring
    except ModuleNotFoundError:
        raise SafetyRefusal(f"key_ring needs the keyring package; install retape[{extra}]") from None
    try:
        secret = Secret(keyring.get_password(_KEYRING, name) or "")
    except Exception as error:  # any error of a desktop's keyring
        raise SafetyRefusal(f"the keyring cannot be read: {type(error).__name__}") from None
    if not secret:
        raise SafetyRefusal(f"the keyring has no entry {name!r} of {_KEYRING}")
    return secret

"""Identifies the installed engine: its version, and a fingerprint of the sources that decide results."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from pathlib import Path

import engine
from engine.floors import deterministic_packages

__all__ = ["code_fingerprint", "version"]


def version() -> str:
    """Return the installed version of the distribution."""
    return importlib.metadata.version("retape")


@functools.cache
def code_fingerprint() -> str:
    """Return 16 hex digits of the engine's deterministic sources; strategies have hashes of their own."""
    (folder,) = engine.__path__
    root = Path(folder)
    state = hashlib.blake2b(digest_size=8)
    for package in deterministic_packages():
        place = root.parent / package.replace(".", "/")
        module = place.with_suffix(".py")
        for path in [module] if module.is_file() else sorted(place.rglob("*.py")):
            state.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()

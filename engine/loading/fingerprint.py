"""Identifies the installed engine: its version, and a fingerprint of the sources that decide results."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from pathlib import Path

import engine
from engine.floors import deterministic_packages

__all__ = ["code_fingerprint", "fingerprint_of", "version"]


def version() -> str:
    """Return the installed version of the distribution."""
    return importlib.metadata.version("retape")


def code_fingerprint() -> str:
    """Return 16 hex digits of the engine's deterministic sources; strategies have hashes of their own."""
    return fingerprint_of(tuple(deterministic_packages()))


@functools.cache
def fingerprint_of(packages: tuple[str, ...]) -> str:
    """Return 16 hex digits of the sources of these packages of ours, given by dotted names."""
    (folder,) = engine.__path__
    root = Path(folder)
    state = hashlib.blake2b(digest_size=8)
    for package in packages:
        place = root.parent / package.replace(".", "/")
        module = place.with_suffix(".py")
        for path in [module] if module.is_file() else sorted(place.rglob("*.py")):
            name = path.relative_to(root if path.is_relative_to(root) else root.parent)
            state.update(name.as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return state.hexdigest()

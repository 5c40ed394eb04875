"""What the numbers of a trial depend on besides code and data: Python, libraries, the processor.

The engine computes money in integers, but indicators and strategies may use floats, and compiled libraries
choose their instructions by processor: `log` and `exp` differ in the last digit between them. So the
environment is recorded with each trial, and a result of another one is named as such.
"""

from __future__ import annotations

import functools
import hashlib
import math
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

__all__ = ["differences", "environment"]

_FEATURES: Final = ("sse", "ssse", "avx", "fma", "f16c", "popcnt", "bmi", "amx", "asimd", "sve", "neon")
"""How the names of the processor features begin by which libraries choose their instructions."""

_CPUINFO: Final = Path("/proc/cpuinfo")
_POINTS: Final = [0.001 * 1.37**exponent for exponent in range(40)]


def environment(libraries: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment of this process by name, with the versions of numpy and of `libraries` that
    are imported."""
    found = dict(_machine())
    for name in sorted({"numpy", *libraries}):
        if name in sys.modules:
            found[name] = _version(name)
    return found


def differences(recorded: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs between two environments, in words."""
    return [
        f"{name} {recorded.get(name) or 'not loaded'}, now {now.get(name) or 'not loaded'}"
        for name in sorted(recorded.keys() | now.keys())
        if recorded.get(name) != now.get(name)
    ]


@functools.cache
def _machine() -> tuple[tuple[str, str], ...]:
    libc, version = platform.libc_ver()
    return (
        ("python", f"{platform.python_implementation()} {platform.python_version()}"),
        ("machine", f"{sys.platform} {platform.machine()}"),
        ("libm", f"{libc or 'unknown'} {version}".strip()),
        ("functions", _functions()),
        ("features", _processor_features()),
    )


def _functions() -> str:
    """Return a digest of what the mathematical functions of this machine return."""
    functions = (math.log, math.exp, math.sin, math.cos, math.tanh, math.log1p, math.expm1, math.erf)
    values = [function(min(point, 700.0)) for function in functions for point in _POINTS]
    values += [point**0.37 for point in _POINTS]
    return hashlib.blake2b(" ".join(map(float.hex, values)).encode(), digest_size=8).hexdigest()


def _processor_features() -> str:
    try:
        text = _CPUINFO.read_text(errors="replace")
    except OSError:
        return platform.processor() or "unknown"
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in ("flags", "features"):
            return " ".join(sorted({one for one in value.split() if one.startswith(_FEATURES)}))
    return "unknown"


def _version(name: str) -> str:
    known = getattr(sys.modules[name], "__version__", "")
    if isinstance(known, str) and known:
        return known
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"

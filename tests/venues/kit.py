"""Installs the toy venue as a package would, and runs its exchange."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.commands.kit import ROOT, environment

ENTRY_POINTS = """[retape.venues]
toy = tests.venues.toy:ToyVenue
bare = tests.venues.toy:BareVenue
"""


def install(folder: Path, name: str = "toy-venue", entry_points: str = ENTRY_POINTS) -> Path:
    """Write what an installed package leaves on the path: its metadata, with the entry points."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    return folder


@contextlib.contextmanager
def exchange() -> Iterator[str]:
    """Run the toy exchange in a process of its own; yields its address."""
    command = [sys.executable, "-m", "tests.venues.toy_exchange"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, env=environment(), **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            process.wait(10)

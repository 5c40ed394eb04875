"""The code blocks of a page, and a folder like a fresh clone to run them in.

`tests/test_pages.py` runs every shell block (`sh`). A block whose first line is a comment with a file name is
that file.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["PAGES", "ROOT", "Block", "blocks", "clone", "commands"]

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "journal" / "README.md"]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w/]+\.(?:py|toml))\n")


class Block(NamedTuple):
    """A code block: its language ("" if it has none) and its text."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The file that the block shows, or ""."""
        found = _FILE.match(self.text)
        return found[1] if found else ""


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page, in order."""
    return [Block(language, text) for language, text in _BLOCK.findall(page.read_text(encoding="utf-8"))]


def commands(text: str) -> Iterator[str]:
    """Yield the command lines of a shell block, without their comments."""
    for line in text.splitlines():
        command = line.partition("  #")[0].strip()
        if command and not command.startswith("#"):
            yield command


def clone(folder: Path) -> None:
    """Make `folder` look like a fresh clone after the first `make`: the sources are links."""
    for path in ROOT.iterdir():
        if path.name not in (".git", ".venv", ".demo", "journal") and not path.name.endswith("_cache"):
            (folder / path.name).symlink_to(path)
    (folder / ".venv").symlink_to(sys.prefix)
    shutil.copytree(ROOT / "journal" / "2024-12-05", folder / "journal" / "2024-12-05")

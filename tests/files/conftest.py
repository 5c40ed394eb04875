"""Fixtures of the file import: a folder to import into, and recorded data if available."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .kit import Imports

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def imports(tmp_path: Path) -> Imports:
    return Imports(tmp_path)


@pytest.fixture
def recorded() -> Callable[[str], Path]:
    """Return the path of a recorded file; skip the test if there is none."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"no recorded data ({name})")
        return path

    return find

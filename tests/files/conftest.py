"""Fixtures of the file import: a desk in a temporary folder, and recorded data where there is any."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from .desk import Desk

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def recorded() -> Callable[[str], Path]:
    """Give the path of a recorded file; the test is skipped where there are none."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"no recorded data ({name})")
        return path

    return find

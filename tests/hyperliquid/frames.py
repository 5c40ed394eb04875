"""Saved messages: those of the tests, and recorded ones outside the project where they exist."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
FRAMES = ROOT / "tests" / "frames" / "hyperliquid"
SHARED = ROOT.parent / "shared"


def lines(name: str) -> list[str]:
    """Return the messages of a file of the tests."""
    return (FRAMES / name).read_text("utf-8").split("\n")[:-1]


def recorded() -> list[tuple[int, str]]:
    """Return 55 recorded messages of 2025-01-26 with their times of receipt; skip the test if absent."""
    path = SHARED / "data" / "frames" / "hyperliquid-BTC-20250126.jsonl.gz"
    if not path.exists():
        pytest.skip("the recorded frames are not beside the project")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [(int(stamp), text) for stamp, _, text in (line.rstrip("\n").partition(" ") for line in file)]


def examples(name: str) -> list[dict[str, Any]]:
    """Return the items of a file of collected examples; skip the test if it is absent."""
    path = SHARED / "exchanges" / "hyperliquid" / name
    if not path.exists():
        pytest.skip("the collected examples are not beside the project")
    items: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["items"]
    return items

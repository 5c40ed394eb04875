"""Messages of the venue: those beside the project, and a few of our own in its shapes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.events import InstrumentListed

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "exchanges" / "coinbase"
FRAMES = ROOT / "tests" / "frames" / "coinbase" / "market-data.jsonl"

NOW_NS = 1_800_000_000_000_000_000


def payload(name: str) -> str:
    """Return a payload as it was sent; skip the test if it is absent."""
    path = SHARED / f"{name}.json"
    if not path.is_file():
        pytest.skip("the payloads are not beside the project")
    return path.read_text("utf-8")


def parsed(name: str) -> Any:
    """Return a payload as an object."""
    return json.loads(payload(name))


def own_lines() -> list[str]:
    """Return the messages that are kept with the tests."""
    return FRAMES.read_text("utf-8").splitlines()


def product(
    name: str = "BTC-USD", number: int = 1, price_scale: int = 2, size_scale: int = 8
) -> InstrumentListed:
    """Return a product as the listing gives it."""
    return InstrumentListed(
        0, number, "coinbase", name, price_scale, size_scale, kind="spot", silence="none", ids="sequence"
    )

"""Payloads of Lighter beside the project, frames of our own, and instruments."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.lighter.decode import Decoder
from engine.events import InstrumentListed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT.parent / "shared" / "exchanges" / "lighter"
OWN = ROOT / "tests" / "frames" / "lighter" / "market-data.jsonl"
LATER_NS = 1_795_000_000_000_000_000

ETH = InstrumentListed(0, 1, "lighter", "ETH", 2, 4, silence="none", ids="sequence")
SPOT = InstrumentListed(0, 2, "lighter", "ETH/USDC", 2, 4, kind="spot", silence="none", ids="sequence")
NAMES = {0: "ETH", 2048: "ETH/USDC"}
MARKETS = {name: market for market, name in NAMES.items()}


def decoder() -> Decoder:
    return Decoder([ETH, SPOT], NAMES)


def example(name: str) -> str:
    path = EXAMPLES / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {name} beside the project")
    return path.read_text(encoding="utf-8")


def own_lines() -> list[str]:
    return OWN.read_text(encoding="utf-8").splitlines()

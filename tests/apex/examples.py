"""Payloads of ApeX Omni beside the project, frames of our own, and an instrument."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.apex.decode import Decoder
from engine.events import InstrumentListed

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT.parent / "shared" / "exchanges" / "apex"
OWN = ROOT / "tests" / "frames" / "apex" / "market-data.jsonl"
LATER_NS = 1_795_000_000_000_000_000

BTC = InstrumentListed(0, 1, "apex", "BTC-USDT", 1, 3, silence="none")
NAMES = {"BTCUSDT": "BTC-USDT"}


def decoder() -> Decoder:
    return Decoder([BTC], NAMES)


def example(name: str) -> str:
    path = EXAMPLES / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no {name} beside the project")
    return path.read_text(encoding="utf-8")


def own_lines() -> list[str]:
    return OWN.read_text(encoding="utf-8").splitlines()

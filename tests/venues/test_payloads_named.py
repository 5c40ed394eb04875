"""Every payload of the wire references beside the project is named by a test of its venue."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCES = ROOT.parent / "shared" / "exchanges"
_SHAPES = {"hyperliquid": (ROOT / "tests" / "sandbox",)}


def _folders() -> list[Path]:
    return sorted(path for path in REFERENCES.iterdir() if path.is_dir()) if REFERENCES.is_dir() else []


@pytest.mark.parametrize("folder", _folders(), ids=lambda path: path.name)
def test_every_payload_is_named_by_a_test_of_its_venue(folder: Path) -> None:
    """A new file fails until a test decodes it. Requests that only the sandbox answers are tested there."""
    places = [ROOT / "tests" / folder.name, *_SHAPES.get(folder.name, ())]
    text = "".join(path.read_text("utf-8") for place in places for path in sorted(place.rglob("*.py")))
    named = set(re.findall(r"[\"']([\w-]+)(?:\.json)?[\"']", text))
    stems = sorted(path.stem for path in folder.glob("*.json"))
    assert stems, "the folder has payloads"
    unnamed = [stem for stem in stems if stem not in named]
    assert unnamed == []

"""`make docs`: writes the tables that are generated from the code."""

from __future__ import annotations

from pathlib import Path

from engine.config import as_markdown, keys

__all__ = ["CONFIGURATION", "configuration_page"]

CONFIGURATION = Path(__file__).resolve().parents[1] / "docs" / "configuration.md"
_MARK = "<!-- The table is written by `make docs`. -->\n"


def configuration_page() -> str:
    """Return the page on the configuration with an up-to-date table."""
    head, mark, _ = CONFIGURATION.read_text(encoding="utf-8").partition(_MARK)
    return f"{head}{mark}\n{as_markdown(keys())}"


if __name__ == "__main__":
    CONFIGURATION.write_text(configuration_page(), encoding="utf-8")
    print(f"written: {CONFIGURATION.name}")

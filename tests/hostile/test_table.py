"""The table of strangers in docs/reliability.md has every hostile case, and each of its cases is a test."""

from __future__ import annotations

import re
from pathlib import Path

from tests.hostile import test_account, test_names, test_orders, test_start, test_stream

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "test_account": test_account,
    "test_names": test_names,
    "test_orders": test_orders,
    "test_start": test_start,
    "test_stream": test_stream,
}
NOT_CASES = {"BOOK", "OPEN"}
ALONE = {("test_start", "cookies"), ("test_start", "rows"), ("test_start", "slow")}
"""Cases that are a test of their own, `test_..._CASE`, not a row of a dictionary."""


def cases() -> set[tuple[str, str]]:
    """Return (module, case) of every dictionary of cases."""
    return {
        (name, case)
        for name, module in MODULES.items()
        for table, found in vars(module).items()
        if table.isupper() and isinstance(found, dict) and table not in NOT_CASES
        for case in found
    }


def test_the_table_of_strangers_names_exactly_the_cases_of_the_tests() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    section = page[page.index("\n## Strangers\n") :]
    named: set[tuple[str, str]] = set()
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]+) \|$", section, re.MULTILINE)
    assert len(rows) > 30
    for row in rows[1:]:
        for part in row.split(";"):
            file, _, found = part.strip().removeprefix("`").partition("`")
            path = ROOT / file if "/" in file else ROOT / "tests" / "hostile" / f"{file}.py"
            assert path.is_file(), row
            named |= {(file, case.strip()) for case in found.split(",") if case.strip()}
    for module, case in ALONE & named:
        assert any(one.endswith(f"_{case}") for one in vars(MODULES[module])), case
    assert named - ALONE == cases()
    assert named >= ALONE

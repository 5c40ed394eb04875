"""The pages are true: each id of a fault is explained, and each explained id is tested."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IN_NAME = re.compile(r"(?:def test|[\"'])_?((?:[a-z][0-9]{2}_)+)")
IN_TEXT = re.compile(r"\b([IJCTNFOVRQSLX][0-9]{1,2})\b(?=[,)\s:.])")


def ids_in_tests() -> dict[str, str]:
    """Return the ids that tests name, each with a file that does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        names = {one.upper() for run in IN_NAME.findall(text) for one in run.strip("_").split("_")}
        docstrings = " ".join(re.findall(r'"""(.*?)"""', text, re.DOTALL))
        for one in names | set(IN_TEXT.findall(docstrings)):
            found.setdefault(one, path.relative_to(ROOT).as_posix())
    return found


def test_every_fault_that_a_test_names_is_explained_and_every_explained_one_is_tested() -> None:
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| ([A-Z][0-9]{1,2}) \|", page, re.MULTILINE)
    assert len(explained) == len(set(explained))
    named = ids_in_tests()
    assert {one: named[one] for one in named if one not in explained} == {}
    assert [one for one in explained if one not in named] == []

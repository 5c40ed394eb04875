"""docs/reliability.md: every promise about the journal names a test, and every test that is named exists."""

from __future__ import annotations

import re

from tests.test_orders_page import REFERENCE, ROOT, functions_in

PAGE = ROOT / "docs" / "reliability.md"


def promises() -> list[str]:
    """Return the items of the section on the journal, up to what is not promised."""
    text = PAGE.read_text(encoding="utf-8")
    section = text.split("## The journal and the disk\n")[1].split("### Not promised")[0]
    return re.findall(r"^- .*(?:\n  .*)*", section, re.MULTILINE)


def test_every_promise_about_the_journal_names_a_test() -> None:
    assert len(promises()) >= 25
    assert [one for one in promises() if not REFERENCE.search(one)] == []


def test_every_test_that_the_page_names_exists() -> None:
    named = REFERENCE.findall(PAGE.read_text(encoding="utf-8"))
    assert [(name, path) for name, path in named if name not in functions_in(path)] == []

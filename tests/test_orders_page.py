"""docs/orders.md: every statement names a test, and that test exists."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "orders.md"
REFERENCE = re.compile(r"\[(test_\w+)\]\(\.\./(tests/[\w/]+\.py)\)")


def rows() -> list[str]:
    """Return the statements: the cells of the tables of situations and the items of the lists of rules."""
    text = PAGE.read_text(encoding="utf-8")
    heads = ("| situation", "|---")
    return [
        line for line in text.splitlines() if line.startswith(("| ", "- ")) and not line.startswith(heads)
    ]


def test_every_statement_names_a_test() -> None:
    nameless = [line for line in rows() if not REFERENCE.search(line)]
    assert nameless == []


def test_every_named_test_exists() -> None:
    missing = []
    for name, path in REFERENCE.findall(PAGE.read_text(encoding="utf-8")):
        if name not in functions_in(path):
            missing.append(f"{path}::{name}")
    assert missing == []


@functools.cache
def functions_in(path: str) -> set[str]:
    """Return the names of the functions in a file; none if there is no such file."""
    if not (ROOT / path).is_file():
        return set()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}

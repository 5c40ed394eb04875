"""Rows as the text of COPY: each value reads back as it was, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.stores.postgres import copying
from engine.stores.postgres.copying import blocks, time_text
from engine.stores.postgres.schema import as_numeric
from engine.stores.rows.shapes import TableShape
from tests.profiles import examples

SHAPE = TableShape(
    {"seq": int, "at": str, "at_ns": int, "name": str, "price": float, "ratio": float, "done": bool},
    pk="seq",
    quotients=("ratio",),
)
ESCAPES = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


def read(text: str) -> list[list[str | None]]:
    """Return the values of a COPY text, by the rules of its documentation."""
    assert text.endswith("\n")
    return [[value_of(part) for part in line.split("\t")] for line in text[:-1].split("\n")]


def value_of(part: str) -> str | None:
    if part == "\\N":
        return None
    made, parts = "", iter(part)
    for char in parts:
        made += ESCAPES[next(parts)] if char == "\\" else char
    return made


def expected(row: tuple[Any, ...]) -> list[str | None]:
    seq, _, at_ns, name, price, ratio, done = row
    return [
        str(seq),
        None if at_ns is None else time_text(at_ns),
        None if at_ns is None else str(at_ns),
        None if name is None else name.replace("\x00", "\ufffd"),
        price,
        None if ratio is None else repr(ratio),
        None if done is None else "t" if done else "f",
    ]


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


ROWS = st.tuples(
    st.integers(-5, 10**18),
    st.just("ignored"),
    maybe(st.one_of(st.integers(0, 10**19), st.integers(-(10**18), 2 * 10**9))),
    maybe(st.text(alphabet=st.characters(codec="utf-8"), max_size=6)),
    maybe(st.builds(as_numeric, st.integers(-(10**20), 10**20), st.integers(0, 18))),
    maybe(st.floats()),
    maybe(st.booleans()),
)


@given(st.lists(ROWS, min_size=1, max_size=8), st.booleans())
@examples(1)
def test_each_value_reads_back_as_it_was(rows: list[tuple[Any, ...]], alike: bool) -> None:
    rows = [rows[0]] * 3 if alike else rows
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(copying, "BLOCK_ROWS", 3)
        found = list(blocks(SHAPE, rows))
    assert len(found) == -(-len(rows) // 3)
    assert [row for text in found for row in read(text)] == [expected(row) for row in rows]


def test_a_time_is_cut_to_microseconds() -> None:
    last = 1_733_443_199_999_999_999
    assert time_text(last) == "2024-12-05T23:59:59.999999Z"
    [text] = blocks(SHAPE, [(1, None, last, "a", "5e-1", 0.5, True)])
    assert text == "1\t2024-12-05T23:59:59.999999Z\t1733443199999999999\ta\t5e-1\t0.5\tt\n"

"""Any rows, any JSON and any bytes are imported or refused in one line, whatever layout is forced."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import UsageError

from .kit import Imports
from .layout_cases import START, START_MS

NAMES = st.sampled_from(
    [
        "time",
        "price",
        "size",
        "id",
        "side",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "",
        "unix",
        "symbol",
        "date",
    ]
)
CELLS = st.one_of(
    st.sampled_from(
        [
            *(
                str(START_MS),
                str(START_MS + 1),
                str(START // 10**9),
                "1.5",
                "0",
                "",
                "nan",
                "buy",
                "unknown",
                "True",
            ),
            *(
                "0.30000000000000004",
                "202401020304",
                "2024-01-01",
                "1e-7",
                "9223372036854775807",
                "-1",
                "None",
            ),
        ]
    ),
    st.text("0123456789.eE+-:TZ naif", max_size=12),
    st.integers(-5, 2**64).map(str),
)
GRIDS = st.lists(st.lists(CELLS, min_size=1, max_size=12), max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**64) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=30,
)
CONTENTS = st.one_of(
    st.tuples(st.lists(NAMES, max_size=12) | st.none(), GRIDS).map(
        lambda both: "\n".join(",".join(row) for row in ([both[0]] if both[0] else []) + both[1]).encode()
    ),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.lists(JSON, max_size=4).map(lambda values: "\n".join(map(json.dumps, values)).encode()),
    st.binary(max_size=60),
)


@given(
    CONTENTS,
    st.sampled_from(["a.csv", "a.json", "a.jsonl", "a", "a.csv.gz"]),
    st.sampled_from([None, "columns", "binance-klines", "kraken-trades", "ccxt-ohlcv", "coinbase-trades"]),
    st.booleans(),
)
@example(b'[{"time": 1, "price": [1]}]', "a.json", None, False)
@example(b"[1,[2]]", "a.json", None, False)
@example(b"[[", "a.json", None, False)
@example(b"[ ]", "a.json", None, False)
@example(b"https://x.org\n", "a.csv", None, False)
def test_anything_is_imported_or_refused(content: bytes, name: str, layout: str | None, turned: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        imports = Imports(Path(folder))
        try:
            report = imports.load(content, name=name, layout=layout, turned=turned)
        except UsageError as error:
            refusal = str(error)
        else:
            refusal = ""
        assert "\n" not in refusal
        if refusal:
            return
        assert report.days
        assert report.notes
        assert all("\n" not in note for note in report.notes)
        assert max(report.price_decimals, report.size_decimals) <= 18

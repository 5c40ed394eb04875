"""Raw messages of several venues in one session: each decodes again to what its own feed recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.commands.redecoding import compare_raw
from engine.journal import list_days
from tests.exchange.market_data import VISIBLE, run, staged
from tests.profiles import pick

CHANNELS = {
    "kraken": "book",
    "coinbase": "level2",
    "lighter": "order_book",
    "apex": "orderBook200",
    "binance": "depth",
    "binance-usdm": "depth",
}


def compared(day: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    """Return the exit code and the result."""
    capsys.readouterr()
    try:
        compare_raw(day, as_json=True)
    except SystemExit as ended:
        return int(str(ended.code)), json.loads(capsys.readouterr().out)
    return 0, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("faults", ["", VISIBLE])
async def test_messages_of_every_venue_decode_to_what_its_feed_recorded_books_included(
    faults: str, tmp_path: Path, paced_clock: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "j"
    async with staged(list(CHANNELS), faults, instruments=("BTC",)) as stage:
        await run(
            stage, root, tuple(set(CHANNELS.values())), market_s=pick(40, deep=600), raw=True, settle=False
        )
    books = 0
    for day in list_days(root):
        code, found = compared(day.path, capsys)
        assert set(found["venues"]) == set(CHANNELS)
        for venue, one in found["venues"].items():
            assert one["same"], (venue, one)
            assert one["equal"] > 20, (venue, one)
            books += one["thinned"]
        assert code == 0
    assert books, "a feed shows a book less often than it changes"

"""What the packages of venues share: rows of history and rows of damaged messages."""

from __future__ import annotations

import msgspec
import pytest

from adapters.transport.history import take_rows
from adapters.transport.salvage import only, rows_of
from engine.errors import VenueProtocolError
from engine.venue import Unusable


def decoded(row: int) -> str | None:
    if row == 13:
        raise VenueProtocolError("thirteen")
    return None if row == 12 else f"row {row}"


def test_rows_of_a_span_are_taken_and_others_reported_or_raised() -> None:
    found: dict[int, str] = {}
    odd: list[Unusable] = []
    take_rows(found, [9, 10, 11, 12, 13, 14, 15], 10, 15, lambda row: row, decoded, odd.append)
    assert found == {10: "row 10", 11: "row 11", 14: "row 14"}
    assert odd == [Unusable(13, "thirteen")]
    with pytest.raises(VenueProtocolError):
        take_rows(found, [13], 10, 15, lambda row: row, decoded, None)


def test_an_invalid_row_leaves_its_place_and_says_whose_it_is() -> None:
    rows = msgspec.json.decode(b'[1, "x", 3]', type=list[msgspec.Raw])
    found, damages = rows_of(rows, int, "trade", lambda row: bytes(row).decode().strip('"').upper())
    assert found == [1, None, 3]
    ((channel, name, reason, placed),) = damages
    assert (channel, name, placed) == ("trade", "X", True)
    assert "Expected `int`" in reason
    assert (only({"BTC"}), only({"BTC", "ETH"}), only(set())) == ("BTC", "", "")
